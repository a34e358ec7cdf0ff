//! What tantivy is given of an event, and what it is not.
//!
//! Three inverted fields: the words of the event's text with their positions, the values of all other
//! fields in one dictionary ([`super::terms`]), and the names of the fields that the event has.
//! Six columns: the time, by which a shard is sorted newest first; the time of receipt; the
//! event's id in three parts; and the row in a pack where the event lies. Nothing is stored in tantivy's document
//! store, and nothing is scored, so there are no field norms.

use std::sync::LazyLock;

use tantivy::schema::{
    BytesOptions, Field, IndexRecordOption, NumericOptions, Schema, TextFieldIndexing, TextOptions,
};
use tantivy::tokenizer::{Token, TokenStream, Tokenizer, TokenizerManager};
use tantivy::{IndexSettings, IndexSortByField, Order};

use crate::text::Tokens;

/// Name under which our tokeniser is registered with tantivy.
const TOKENIZER: &str = "keng";

/// Name of the column by which shards are sorted.
pub(crate) const TIME: &str = "time";
pub(crate) const RECEIVED: &str = "received";
pub(crate) const EPOCH: &str = "epoch";
pub(crate) const PARTITION: &str = "partition";
pub(crate) const OFFSET: &str = "offset";
pub(crate) const ROW: &str = "row";

/// The fields of a shard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields {
    /// `@timestamp` in nanoseconds.
    pub(crate) time: Field,
    /// `event.ingested` in nanoseconds.
    pub(crate) received: Field,
    pub(crate) epoch: Field,
    pub(crate) partition: Field,
    pub(crate) offset: Field,
    /// Where the event lies: number of the pack × 2³² + row.
    pub(crate) row: Field,
    /// The words of `message`, or of `event.original` where there is no `message`.
    pub(crate) text: Field,
    pub(crate) values: Field,
    pub(crate) names: Field,
}

/// The one schema of all shards.
pub(crate) static SCHEMA: LazyLock<(Schema, Fields)> = LazyLock::new(|| {
    let mut schema = Schema::builder();
    let column = NumericOptions::default().set_fast();
    let words = TextFieldIndexing::default()
        .set_tokenizer(TOKENIZER)
        .set_index_option(IndexRecordOption::WithFreqsAndPositions)
        .set_fieldnorms(false);
    let terms = BytesOptions::default().set_indexed();
    let fields = Fields {
        time: schema.add_i64_field(TIME, column.clone()),
        received: schema.add_i64_field(RECEIVED, column.clone()),
        epoch: schema.add_u64_field(EPOCH, column.clone()),
        partition: schema.add_u64_field(PARTITION, column.clone()),
        offset: schema.add_u64_field(OFFSET, column.clone()),
        row: schema.add_u64_field(ROW, column),
        text: schema.add_text_field("text", TextOptions::default().set_indexing_options(words)),
        values: schema.add_bytes_field("values", terms.clone()),
        names: schema.add_bytes_field("names", terms),
    };
    (schema.build(), fields)
});

/// The fields of [`SCHEMA`].
pub(crate) fn fields() -> Fields {
    SCHEMA.1
}

/// tantivy's registry of tokenisers with ours in it.
pub(crate) fn tokenizers() -> TokenizerManager {
    let manager = TokenizerManager::default();
    manager.register(TOKENIZER, Words::default());
    manager
}

/// Settings of a freshly sealed shard: its events are handed over in order.
pub(crate) fn sealed_settings() -> IndexSettings {
    IndexSettings { docstore_compress_dedicated_thread: false, ..IndexSettings::default() }
}

/// Settings of a merged shard: tantivy interleaves its sources by time.
pub(crate) fn merged_settings() -> IndexSettings {
    let sort = IndexSortByField { field: TIME.to_owned(), order: Order::Desc };
    IndexSettings { sort_by_field: Some(sort), ..sealed_settings() }
}

/// Our tokeniser as tantivy wants it.
#[derive(Clone, Debug, Default)]
struct Words {
    tokens: Tokens,
    token: Token,
}

/// The tokens of one text. tantivy wants them owned; one buffer serves all.
struct WordStream<'a> {
    tokens: &'a Tokens,
    next: usize,
    token: &'a mut Token,
}

impl Tokenizer for Words {
    type TokenStream<'a> = WordStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> WordStream<'a> {
        self.tokens.read(text);
        WordStream { tokens: &self.tokens, next: 0, token: &mut self.token }
    }
}

impl TokenStream for WordStream<'_> {
    fn advance(&mut self) -> bool {
        let Some(next) = self.tokens.get(self.next) else { return false };
        self.next += 1;
        self.token.text.clear();
        self.token.text.push_str(next.text);
        self.token.position = next.position as usize;
        self.token.position_length = next.width as usize;
        true
    }

    fn token(&self) -> &Token {
        self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        self.token
    }
}
