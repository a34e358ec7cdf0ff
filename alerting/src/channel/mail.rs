//! Mail over SMTP, as plain text.
//!
//! The message id is made from the idempotency key, so that a repeat after a crash is the same
//! message to the receiving server; all mails about one alert are one thread.

use std::time::{Duration, UNIX_EPOCH};

use jiff::tz::TimeZone;
use lettre::message::header::{ContentType, Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};

use super::{Envelope, Failure, is_tls, message, read_ca};
use crate::config::{SmtpConfig, SmtpSecurity, read_secret};

#[derive(Debug)]
pub(super) struct Mail {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    to: Vec<Mailbox>,
    zone: TimeZone,
}

/// Tells answering machines not to answer (RFC 3834 §5).
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

impl Mail {
    pub(super) fn build(config: &SmtpConfig, zone: TimeZone) -> Result<Self, String> {
        let (default_port, tls) = match config.security {
            SmtpSecurity::Starttls => (587, Tls::Required(tls_parameters(config)?)),
            SmtpSecurity::Tls => (465, Tls::Wrapper(tls_parameters(config)?)),
            SmtpSecurity::None => (25, Tls::None),
        };
        let mut builder =
            AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(config.server.as_str())
                .port(config.port.unwrap_or(default_port))
                .timeout(Some(config.timeout.duration()))
                .tls(tls);
        if let (Some(name), Some(path)) = (&config.username, &config.password_file) {
            let password = String::from_utf8(read_secret(path)?)
                .map_err(|_| format!("the password in {} is not UTF-8", path.display()))?;
            builder = builder.credentials(Credentials::new(name.clone(), password));
        }
        let mailbox =
            |text: &String| text.parse::<Mailbox>().map_err(|error| format!("'{text}': {error}"));
        Ok(Self {
            transport: builder.build(),
            from: mailbox(&config.from)?,
            to: config.to.iter().map(mailbox).collect::<Result<_, _>>()?,
            zone,
        })
    }

    pub(super) async fn send(&self, envelope: &Envelope<'_>) -> Result<(), Failure> {
        let message = self.message(envelope)?;
        self.transport.send(message).await.map(drop).map_err(|error| failure(&error))
    }

    fn message(&self, envelope: &Envelope<'_>) -> Result<Message, Failure> {
        let domain = self.from.email.domain();
        let thread = format!("<{}.alert@{domain}>", envelope.alert.id);
        let seconds = u64::try_from(envelope.now.as_seconds()).unwrap_or(0);
        let mut builder = Message::builder()
            .from(self.from.clone())
            .subject(message::subject(envelope))
            .date(UNIX_EPOCH + Duration::from_secs(seconds))
            .message_id(Some(format!("<{}@{domain}>", envelope.idempotency_key)))
            .references(thread)
            .header(AutoSubmitted)
            .header(ContentType::TEXT_PLAIN);
        for recipient in &self.to {
            builder = builder.to(recipient.clone());
        }
        builder
            .body(message::body(envelope, &self.zone))
            .map_err(|error| Failure::template(error.to_string()))
    }
}

fn tls_parameters(config: &SmtpConfig) -> Result<TlsParameters, String> {
    let mut builder = TlsParameters::builder(config.server.clone());
    if let Some(path) = &config.ca_file {
        let certificate = Certificate::from_pem(&read_ca(path)?)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        builder = builder.add_root_certificate(certificate);
    }
    builder.build().map_err(|error| error.to_string())
}

/// RFC 5321 §4.2.1: 4yz is "try again", 5yz is "no". 530 to 538 are about authentication
/// (RFC 4954 §6).
fn failure(error: &lettre::transport::smtp::Error) -> Failure {
    let detail = message::plain(&error.to_string());
    let code = error.status().map(u16::from);
    match code {
        Some(530..=538) => Failure::permanent("auth", detail),
        Some(_) if error.is_permanent() => Failure::permanent("client_error", detail),
        Some(_) => Failure::temporary("server_error", detail),
        None if error.is_timeout() => Failure::temporary("timeout", detail),
        None if is_tls(error) => Failure::temporary("tls", detail),
        None if error.is_client() => Failure::permanent("client_error", detail),
        None => Failure::temporary("connect", detail),
    }
}

#[cfg(test)]
mod tests;
