//! gRPC through the gateway: HTTP/2 on both sides, messages both ways at once, trailers.

use crate::conversation::{Served, converse, listen};
use bytes::{BufMut as _, Bytes, BytesMut};
use h2::RecvStream;
use h2::client::SendRequest;
use http::{HeaderMap, Request, Response};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};

fn configuration(origin: &str) -> String {
    format!(
        r#"
server {{
  hosts = ["*:{{port}}"]
  tls {{
  }}
  endpoint "/**" {{
    proxy {{
      backend {{
        origin                = "http://{origin}"
        http2_prior_knowledge = true
      }}
    }}
  }}
}}
"#
    )
}

/// Any certificate will do: the gateway makes its own.
#[derive(Debug)]
struct Trusting;

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

async fn connect(served: &Served) -> SendRequest<Bytes> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(("127.0.0.1", served.port))
        .await
        .unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = connector.connect(name, stream).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    client.ready().await.unwrap()
}

fn call(method: &str) -> Request<()> {
    Request::post(format!("https://localhost/echo.Echo/{method}"))
        .header("content-type", "application/grpc+proto")
        .header("te", "trailers")
        .body(())
        .unwrap()
}

/// A message in the framing of gRPC: not compressed, with its length.
fn message(text: &str) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(text.len()).unwrap());
    bytes.put_slice(text.as_bytes());
    bytes.freeze()
}

async fn next(body: &mut RecvStream) -> Option<Bytes> {
    let data = body.data().await?.unwrap();
    body.flow_control().release_capacity(data.len()).unwrap();
    Some(data)
}

/// Echoes the messages of each call as they come, then tells how many there were.
async fn serve(listener: TcpListener) {
    let (stream, _) = listener.accept().await.unwrap();
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        tokio::spawn(async move {
            assert_eq!(request.headers()["te"], "trailers");
            let response = Response::builder()
                .header("content-type", "application/grpc+proto")
                .body(())
                .unwrap();
            let mut sender = respond.send_response(response, false).unwrap();
            let mut body = request.into_body();
            let mut count = 0;
            while let Some(data) = next(&mut body).await {
                if !data.is_empty() {
                    count += 1;
                    sender.send_data(data, false).unwrap();
                }
            }
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            trailers.insert("x-count", count.into());
            sender.send_trailers(trailers).unwrap();
        });
    }
}

#[test]
fn streams_run_both_ways_at_once_and_end_with_trailers() {
    converse(async {
        let (listener, origin) = listen().await;
        let served = Served::start(&configuration(&origin));
        tokio::spawn(serve(listener));
        let mut client = connect(&served).await;
        let (response, mut sender) = client.send_request(call("Chat"), false).unwrap();
        sender.send_data(message("one"), false).unwrap();
        // The answer begins while the call still runs.
        let response = response.await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/grpc+proto");
        let mut body = response.into_body();
        assert_eq!(next(&mut body).await.unwrap(), message("one"));
        sender.send_data(message("two"), false).unwrap();
        assert_eq!(next(&mut body).await.unwrap(), message("two"));
        sender.send_data(Bytes::new(), true).unwrap();
        assert_eq!(next(&mut body).await, None);
        let trailers = body.trailers().await.unwrap().unwrap();
        assert_eq!(trailers["grpc-status"], "0");
        assert_eq!(trailers["x-count"], "2");
    });
}

#[test]
fn errors_of_the_gateway_are_told_in_grpc_status() {
    converse(async {
        let (listener, origin) = listen().await;
        let served = Served::start(&configuration(&origin));
        drop(listener);
        let mut client = connect(&served).await;
        let (response, _) = client.send_request(call("Chat"), true).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/grpc");
        assert_eq!(response.headers()["grpc-status"], "14");
        assert_eq!(response.headers()["grpc-message"], "backend error");
        assert!(response.into_body().is_end_stream());
    });
}
