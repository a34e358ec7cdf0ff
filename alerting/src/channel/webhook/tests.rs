//! The wire form, checked against other implementations and a real server.

use keng_event::Timestamp;
use reqwest::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Signer, body, classify};
use crate::channel::{Envelope, Kind, sample_alert};
use crate::tests::receiver::Receiver;
use crate::tests::{Fixture, NOW, analyst};

/// Computed with OpenSSL: `printf '1795341600.{"version":1}' | openssl dgst -sha256 -hmac …`.
#[test]
fn the_signature_is_that_of_other_implementations() {
    let signer = Signer::new(b"whsec_test").unwrap();
    assert_eq!(
        signer.sign(NOW, br#"{"version":1}"#),
        "t=1795341600,v1=172cef650e19b47154a69ca1d5660bdd9a05733cdfdc034246832b3151ad7a54"
    );
}

#[test]
fn the_body_is_as_agreed() {
    let alert = sample_alert("hook", NOW);
    let (base_url, now) = ("https://keng.example.org", Timestamp::EPOCH);
    let envelope =
        Envelope { idempotency_key: "0123", kind: Kind::Opened, alert: &alert, base_url, now };
    let body: serde_json::Value = serde_json::from_slice(&body(&envelope).unwrap()).unwrap();
    insta::assert_json_snapshot!(body);
}

#[test]
fn answers_are_classed() {
    let class = |status| classify(StatusCode::from_u16(status).unwrap());
    assert_eq!(class(429), ("rate_limited", false));
    assert_eq!(class(408), ("client_error", false));
    assert_eq!(class(503), ("server_error", false));
    assert_eq!(class(401), ("auth", true));
    assert_eq!(class(410), ("client_error", true));
    assert_eq!(class(302), ("client_error", true));
}

#[tokio::test]
async fn a_receiver_can_check_what_it_gets() {
    let receiver = Receiver::start().await;
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "whsec_test\n").unwrap();
    let config = format!("{}secret_file = '{}'\n", receiver.channel(), secret.display());
    let fixture = Fixture::new(&config).await;
    fixture.desk.test_channel("hook", &analyst()).await.unwrap();
    let request = &receiver.requests()[0];
    let expected = Signer::new(b"whsec_test").unwrap().sign(NOW, &request.body);
    assert_eq!(request.headers["keng-signature"], expected);
    assert_eq!(request.headers["content-type"], "application/json");
}

#[tokio::test]
async fn an_answer_is_read_only_so_far_and_its_controls_are_harmless() {
    let receiver = Receiver::start().await;
    receiver.answer(["HTTP/1.1 500 Oops\r\nX-Long: \x1b[31m\r\n"]);
    let fixture = Fixture::new(&receiver.channel()).await;
    let error = fixture.desk.test_channel("hook", &analyst()).await.unwrap_err().to_string();
    assert!(!error.contains('\x1b'), "{error:?}");
}

#[tokio::test]
async fn nobody_listening_is_a_connect_failure() {
    let config = "[[channel]]\nname='hook'\nkind='webhook'\nurl='http://127.0.0.1:1/'\n";
    let fixture = Fixture::new(config).await;
    let error = fixture.desk.test_channel("hook", &analyst()).await.unwrap_err().to_string();
    assert!(error.contains("connect"), "{error}");
}

/// A server that accepts and never answers ends with the timeout, not with the patience of the
/// network. The time itself is the client's; what is asserted is the class.
#[tokio::test]
async fn a_silent_receiver_is_a_timeout() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = format!(
        "[[channel]]\nname='hook'\nkind='webhook'\nurl='http://{}/'\ntimeout='100ms'\n",
        silent.local_addr().unwrap()
    );
    let fixture = Fixture::new(&config).await;
    let error = fixture.desk.test_channel("hook", &analyst()).await.unwrap_err().to_string();
    assert!(error.contains("timeout"), "{error}");
}

/// Plain text where TLS is expected.
#[tokio::test]
async fn a_receiver_without_tls_is_a_tls_failure() {
    let plain = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", plain.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = plain.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        stream.read_to_end(&mut Vec::new()).await.ok();
    });
    let config = format!("[[channel]]\nname='hook'\nkind='webhook'\nurl='{url}'\n");
    let fixture = Fixture::new(&config).await;
    let error = fixture.desk.test_channel("hook", &analyst()).await.unwrap_err().to_string();
    assert!(error.contains(": tls: "), "{error}");
}
