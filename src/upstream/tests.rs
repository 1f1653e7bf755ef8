//! Exchanges over real sockets with origins that follow a script.

use std::future::Future;
use std::net::Ipv4Addr;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http_body_util::{BodyExt as _, Full, StreamBody};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};

use super::*;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Long enough for anything that is to happen, short enough to notice what is not.
const PATIENCE: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(40);

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new()
        .block_on(&runtime, async {
            tokio::time::timeout(PATIENCE, test).await
        })
        .expect("the test is stuck");
}

/// Accepts connections and runs `script` on each with its number. Returns the port and the number
/// of connections so far.
async fn origin<S, F>(script: S) -> (u16, Rc<Cell<usize>>)
where
    S: Fn(usize, TcpStream) -> F + 'static,
    F: Future<Output = ()> + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Rc::new(Cell::new(0));
    let counter = Rc::clone(&count);
    spawn_local(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let number = counter.get();
            counter.set(number + 1);
            spawn_local(script(number, stream));
        }
    });
    (port, count)
}

/// Reads up to and with `end`; `None` when the connection ends first.
async fn read_to<R: AsyncRead + Unpin>(stream: &mut R, end: &[u8]) -> Option<String> {
    let mut seen = Vec::new();
    while !seen.ends_with(end) {
        seen.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(seen).unwrap())
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, answer: &[u8]) {
    while read_to(&mut stream, b"\r\n\r\n").await.is_some() {
        stream.write_all(answer).await.unwrap();
    }
}

fn settings(port: u16) -> TargetSettings {
    TargetSettings {
        series: None,
        host: "127.0.0.1".into(),
        port,
        tls: None,
        http2_prior_knowledge: false,
        proxy: None,
        disable_connection_reuse: false,
        limit: Limit::new(Limit::DEFAULT, Limit::DEFAULT),
    }
}

fn target(port: u16) -> Arc<Target> {
    Target::new(settings(port)).unwrap()
}

fn request(method: Method, body: &'static str) -> Request<RequestBody> {
    let body = RequestBody::full(body.as_bytes());
    Request::builder()
        .method(method)
        .uri("/path?q")
        .body(body)
        .unwrap()
}

fn get() -> Request<RequestBody> {
    request(Method::GET, "")
}

async fn text(sent: Sent) -> Result<String, UpstreamError> {
    let bytes = sent.response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8(bytes.to_vec()).unwrap())
}

#[test]
fn a_connection_is_used_again_after_the_whole_body() {
    run(async {
        let (port, count) = origin(|_, stream| serve(stream, OK)).await;
        let (upstream, target) = (Upstream::default(), target(port));
        for round in 0..5 {
            let sent = upstream
                .send(&target, get(), &Limits::default())
                .await
                .unwrap();
            assert_eq!(sent.timings.reused, round > 0);
            assert_eq!(sent.timings.tcp.is_some(), round == 0);
            assert_eq!(text(sent).await.unwrap(), "ok");
        }
        assert_eq!(count.get(), 1);
        // An equal target made later finds the same connections only with the same limit.
        let settings = target.settings().clone();
        let again = Target::new(settings).unwrap();
        let sent = upstream
            .send(&again, get(), &Limits::default())
            .await
            .unwrap();
        assert!(sent.timings.reused);
    });
}

#[test]
fn a_body_dropped_early_ends_its_connection() {
    run(async {
        let (port, count) = origin(|_, stream| serve(stream, OK)).await;
        let (upstream, target) = (Upstream::default(), target(port));
        drop(
            upstream
                .send(&target, get(), &Limits::default())
                .await
                .unwrap(),
        );
        assert_eq!(upstream.idle(&target), 0);
        let sent = upstream
            .send(&target, get(), &Limits::default())
            .await
            .unwrap();
        assert!(!sent.timings.reused);
        assert_eq!(count.get(), 2);
    });
}

#[test]
fn without_reuse_each_request_has_its_connection() {
    run(async {
        let (port, count) = origin(|_, mut stream| async move {
            let head = read_to(&mut stream, b"\r\n\r\n").await.unwrap();
            assert!(head.contains("connection: close"), "{head}");
            stream.write_all(OK).await.unwrap();
        })
        .await;
        let mut settings = settings(port);
        settings.disable_connection_reuse = true;
        let (upstream, target) = (Upstream::default(), Target::new(settings).unwrap());
        for _ in 0..2 {
            let sent = upstream
                .send(&target, get(), &Limits::default())
                .await
                .unwrap();
            assert_eq!(text(sent).await.unwrap(), "ok");
        }
        assert_eq!(count.get(), 2);
    });
}

/// The first connection answers once and closes when the second request has arrived.
async fn stale() -> (u16, Rc<Cell<usize>>) {
    origin(|number, mut stream| async move {
        if number == 0 {
            read_to(&mut stream, b"\r\n\r\n").await.unwrap();
            stream.write_all(OK).await.unwrap();
            read_to(&mut stream, b"\r\n\r\n").await.unwrap();
        } else {
            serve(stream, OK).await;
        }
    })
    .await
}

#[test]
fn a_get_on_a_stale_connection_is_sent_again() {
    run(async {
        let (port, count) = stale().await;
        let (upstream, target) = (Upstream::default(), target(port));
        for round in 0..2 {
            let sent = upstream
                .send(&target, get(), &Limits::default())
                .await
                .unwrap();
            assert_eq!(sent.timings.retried, round == 1);
            assert_eq!(text(sent).await.unwrap(), "ok");
        }
        assert_eq!(count.get(), 2);
    });
}

#[test]
fn a_post_is_never_sent_twice() {
    run(async {
        let (port, count) = stale().await;
        let (upstream, target) = (Upstream::default(), target(port));
        let sent = upstream
            .send(&target, get(), &Limits::default())
            .await
            .unwrap();
        text(sent).await.unwrap();
        let post = request(Method::POST, "x");
        let error = upstream
            .send(&target, post, &Limits::default())
            .await
            .unwrap_err();
        assert!(matches!(error, UpstreamError::Dropped(_)), "{error:?}");
        assert!(!error.retry_safe());
        assert_eq!(count.get(), 1);
    });
}

#[test]
fn a_post_after_the_origin_closed_goes_to_a_new_connection() {
    run(async {
        let (port, count) = origin(|_, mut stream| async move {
            read_to(&mut stream, b"\r\n\r\n").await.unwrap();
            stream.write_all(OK).await.unwrap();
        })
        .await;
        let (upstream, target) = (Upstream::default(), target(port));
        let sent = upstream
            .send(&target, get(), &Limits::default())
            .await
            .unwrap();
        text(sent).await.unwrap();
        // Lets the connection's task see the end of the stream.
        tokio::time::sleep(SHORT).await;
        let post = request(Method::POST, "x");
        let sent = upstream
            .send(&target, post, &Limits::default())
            .await
            .unwrap();
        assert_eq!(text(sent).await.unwrap(), "ok");
        assert_eq!(count.get(), 2);
    });
}

#[test]
fn waiting_has_limits() {
    run(async {
        let (port, _) = origin(|_, mut stream| async move {
            let head = read_to(&mut stream, b"\r\n\r\n").await.unwrap();
            if head.starts_with("PUT") {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok")
                    .await
                    .unwrap();
            }
            std::future::pending::<()>().await;
        })
        .await;
        let (upstream, target) = (Upstream::default(), target(port));
        let first = Limits {
            ttfb_timeout: SHORT,
            ..Limits::default()
        };
        let total = Limits {
            timeout: SHORT,
            ..Limits::default()
        };
        let error = upstream.send(&target, get(), &first).await.unwrap_err();
        assert!(
            matches!(error, UpstreamError::FirstByteTimeout(SHORT)),
            "{error:?}"
        );
        let error = upstream.send(&target, get(), &total).await.unwrap_err();
        assert!(matches!(error, UpstreamError::Timeout(SHORT)) && error.is_timeout());
        let put = request(Method::PUT, "");
        let sent = upstream.send(&target, put, &total).await.unwrap();
        let error = text(sent).await.unwrap_err();
        assert!(matches!(error, UpstreamError::Timeout(SHORT)), "{error:?}");
        assert_eq!(upstream.idle(&target), 0);
    });
}

#[test]
fn the_first_byte_limit_begins_after_the_request_body() {
    run(async {
        let (port, _) = origin(|_, mut stream| async move {
            read_to(&mut stream, b"0\r\n\r\n").await.unwrap();
            stream.write_all(OK).await.unwrap();
        })
        .await;
        let (upstream, target) = (Upstream::default(), target(port));
        let slow = futures_util::stream::unfold(0, |n| async move {
            tokio::time::sleep(SHORT).await;
            let frame = http_body::Frame::data(Bytes::from_static(b"part"));
            (n < 4).then_some((Ok::<_, BoxError>(frame), n + 1))
        });
        let body = RequestBody::boxed(StreamBody::new(slow));
        let post = Request::post("/").body(body).unwrap();
        // Less than the body takes, but enough for the answer on a loaded machine.
        let limits = Limits {
            ttfb_timeout: 3 * SHORT,
            ..Limits::default()
        };
        let sent = upstream.send(&target, post, &limits).await.unwrap();
        assert_eq!(text(sent).await.unwrap(), "ok");
    });
}

type Expected = fn(&UpstreamError) -> bool;

#[test]
fn broken_responses_are_errors() {
    run(async {
        let cases: [(&[u8], Expected); 4] = [
            (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", |e| {
                matches!(e, UpstreamError::ResponseBody(_))
            }),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
                |e| matches!(e, UpstreamError::ResponseBody(_)),
            ),
            (b"what is this\r\n\r\n", |e| {
                matches!(e, UpstreamError::Malformed(_))
            }),
            (b"", |e| matches!(e, UpstreamError::Dropped(_))),
        ];
        for (answer, expected) in cases {
            let (port, count) = origin(move |_, mut stream| async move {
                read_to(&mut stream, b"\r\n\r\n").await.unwrap();
                stream.write_all(answer).await.unwrap();
            })
            .await;
            let upstream = Upstream::default();
            let error = match upstream
                .send(&target(port), get(), &Limits::default())
                .await
            {
                Ok(sent) => text(sent).await.unwrap_err(),
                Err(error) => error,
            };
            assert!(expected(&error), "{error:?}");
            assert_eq!(count.get(), 1, "a new connection is not tried twice");
        }
    });
}

#[test]
fn a_refused_connection_is_named() {
    run(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let upstream = Upstream::default();
        let target = target(port);
        let error = upstream
            .send(&target, get(), &Limits::default())
            .await
            .unwrap_err();
        assert!(matches!(error, UpstreamError::Connect { .. }), "{error:?}");
        assert!(error.retry_safe());
        assert_eq!(
            error.to_string(),
            format!("cannot connect to 127.0.0.1:{port}")
        );
        assert_eq!(target.settings().limit.available(), Limit::DEFAULT);
    });
}

#[test]
fn a_broken_request_body_is_the_clients_fault() {
    run(async {
        let (port, _) = origin(|_, mut stream| async move {
            let _ = stream.read_to_end(&mut Vec::new()).await;
        })
        .await;
        let frames = futures_util::stream::iter([
            Ok(http_body::Frame::data(Bytes::from_static(b"part"))),
            Err::<_, BoxError>("gone".into()),
        ]);
        let body = RequestBody::boxed(StreamBody::new(frames));
        let post = Request::post("/").body(body).unwrap();
        let upstream = Upstream::default();
        let error = upstream
            .send(&target(port), post, &Limits::default())
            .await
            .unwrap_err();
        assert!(matches!(error, UpstreamError::RequestBody(_)), "{error:?}");
    });
}

#[test]
fn connections_and_waiting_requests_are_bounded() {
    run(async {
        let (port, count) = origin(|_, stream| serve(stream, OK)).await;
        let mut settings = settings(port);
        settings.limit = Limit::new(1, 1);
        let target = Target::new(settings).unwrap();
        // Two workers share the limit but no connection.
        let (one, two) = (Upstream::default(), Upstream::default());
        let limits = Limits::default();
        let first = one.send(&target, get(), &limits).await.unwrap();
        let mut second = Box::pin(two.send(&target, get(), &limits));
        assert!((&mut second).now_or_never().is_none());
        assert_eq!(target.settings().limit.waiting(), 1);
        let error = one.send(&target, get(), &limits).await.unwrap_err();
        assert!(matches!(error, UpstreamError::Queue), "{error:?}");
        // The first connection closes rather than stay idle, as somebody waits.
        text(first).await.unwrap();
        text(second.await.unwrap()).await.unwrap();
        assert_eq!(one.idle(&target), 0);
        assert_eq!(two.idle(&target), 1);
        // And an idle one makes room for a request that begins to wait later.
        text(one.send(&target, get(), &limits).await.unwrap())
            .await
            .unwrap();
        assert_eq!(count.get(), 3);
    });
}

#[test]
fn informational_responses_are_passed_over() {
    run(async {
        let answer = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        let (port, _) = origin(move |_, stream| serve(stream, answer)).await;
        let (upstream, target) = (Upstream::default(), target(port));
        for _ in 0..2 {
            let sent = upstream
                .send(&target, get(), &Limits::default())
                .await
                .unwrap();
            assert_eq!(sent.response.status(), StatusCode::OK);
            assert_eq!(text(sent).await.unwrap(), "ok");
        }
    });
}

#[test]
fn a_switch_of_protocols_hands_the_connection_over() {
    run(async {
        let (port, _) = origin(|_, mut stream| async move {
            read_to(&mut stream, b"\r\n\r\n").await.unwrap();
            let head =
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
            stream.write_all(head).await.unwrap();
            let byte = stream.read_u8().await.unwrap();
            stream.write_u8(byte + 1).await.unwrap();
        })
        .await;
        let (upstream, target) = (Upstream::default(), target(port));
        let mut request = get();
        request
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("upgrade"));
        request
            .headers_mut()
            .insert("upgrade", HeaderValue::from_static("x"));
        let sent = upstream
            .send(&target, request, &Limits::default())
            .await
            .unwrap();
        assert_eq!(sent.response.status(), StatusCode::SWITCHING_PROTOCOLS);
        let mut io = TokioIo::new(hyper::upgrade::on(sent.response).await.unwrap());
        io.write_u8(1).await.unwrap();
        assert_eq!(io.read_u8().await.unwrap(), 2);
        assert_eq!(upstream.idle(&target), 0);
    });
}

async fn http2_origin<S: AsyncRead + AsyncWrite + Unpin + 'static>(stream: S) {
    let service = hyper::service::service_fn(|request: Request<Incoming>| async move {
        let answer = format!("{} {}", request.method(), request.uri());
        Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from(answer))))
    });
    let _ = hyper::server::conn::http2::Builder::new(LocalExecutor)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

#[test]
fn http2_requests_share_a_connection() {
    run(async {
        let (port, count) = origin(|_, stream| http2_origin(stream)).await;
        let mut settings = settings(port);
        settings.http2_prior_knowledge = true;
        let (upstream, target) = (Upstream::default(), Target::new(settings).unwrap());
        let limits = Limits::default();
        text(upstream.send(&target, get(), &limits).await.unwrap())
            .await
            .unwrap();
        let mut named = get();
        named
            .headers_mut()
            .insert(HOST, HeaderValue::from_static("name.example"));
        let (a, b) = tokio::join!(
            upstream.send(&target, named, &limits),
            upstream.send(&target, request(Method::POST, "x"), &limits),
        );
        let (a, b) = (a.unwrap(), b.unwrap());
        assert!(a.timings.reused && b.timings.reused);
        assert_eq!(text(a).await.unwrap(), "GET http://name.example/path?q");
        assert_eq!(
            text(b).await.unwrap(),
            format!("POST http://127.0.0.1:{port}/path?q")
        );
        assert_eq!(count.get(), 1);
    });
}

#[test]
fn tls_verifies_and_negotiates() {
    run(async {
        let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = key.cert.der().clone();
        let private = rustls_pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], private.unwrap())
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let (port, _) = origin(move |_, stream| {
            let acceptor = acceptor.clone();
            async move {
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                    http2_origin(stream).await;
                } else {
                    serve(stream, OK).await;
                }
            }
        })
        .await;
        let send = async |tls: TlsSettings| {
            let mut settings = settings(port);
            settings.tls = Some(Tls {
                config: client_config(tls).unwrap(),
                server_name: "localhost".try_into().unwrap(),
            });
            let target = Target::new(settings).unwrap();
            let sent = Upstream::default()
                .send(&target, get(), &Limits::default())
                .await?;
            assert!(sent.timings.tls.is_some());
            text(sent).await
        };
        let error = send(TlsSettings::default()).await.unwrap_err();
        assert!(matches!(error, UpstreamError::Tls(_)), "{error:?}");
        let trusting = TlsSettings {
            extra_roots: vec![certificate],
            ..TlsSettings::default()
        };
        assert_eq!(send(trusting).await.unwrap(), "ok");
        let careless = TlsSettings {
            disable_certificate_validation: true,
            http2: true,
            ..TlsSettings::default()
        };
        let answer = send(careless).await.unwrap();
        assert_eq!(answer, format!("GET https://127.0.0.1:{port}/path?q"));
    });
}

#[test]
fn a_forward_proxy_gets_the_absolute_form_or_a_tunnel() {
    run(async {
        let (port, _) = origin(|_, mut stream| async move {
            let head = read_to(&mut stream, b"\r\n\r\n").await.unwrap();
            assert!(
                head.to_lowercase()
                    .contains("proxy-authorization: basic x\r\n"),
                "{head}"
            );
            if head.starts_with("GET http://origin.invalid/path?q HTTP/1.1\r\n") {
                stream.write_all(OK).await.unwrap();
            } else {
                assert!(
                    head.starts_with("CONNECT origin.invalid:443 HTTP/1.1\r\n"),
                    "{head}"
                );
                stream.write_all(b"HTTP/1.1 403 No\r\n\r\n").await.unwrap();
            }
        })
        .await;
        let mut settings = settings(80);
        settings.host = "origin.invalid".into();
        settings.proxy = Some(Arc::new(ForwardProxy {
            host: "127.0.0.1".into(),
            port,
            authorization: Some(HeaderValue::from_static("Basic x")),
        }));
        let upstream = Upstream::default();
        let target = Target::new(settings.clone()).unwrap();
        let sent = upstream
            .send(&target, get(), &Limits::default())
            .await
            .unwrap();
        assert_eq!(text(sent).await.unwrap(), "ok");
        settings.port = 443;
        settings.tls = Some(Tls {
            config: client_config(TlsSettings::default()).unwrap(),
            server_name: "origin.invalid".try_into().unwrap(),
        });
        let target = Target::new(settings).unwrap();
        let error = upstream
            .send(&target, get(), &Limits::default())
            .await
            .unwrap_err();
        assert!(matches!(error, UpstreamError::Proxy(_)), "{error:?}");
    });
}

#[test]
fn targets_are_checked() {
    let mut settings = settings(80);
    assert_eq!(
        Target::new(settings.clone()).unwrap().authority(),
        "127.0.0.1"
    );
    settings.host = "[::1]".into();
    settings.port = 81;
    assert_eq!(
        Target::new(settings.clone()).unwrap().authority(),
        "[::1]:81"
    );
    for host in ["", "a b", "user@host", "a/b"] {
        settings.host = host.into();
        assert!(Target::new(settings.clone()).is_err(), "{host}");
    }
}
