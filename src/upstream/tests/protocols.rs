//! Informational responses, switches of protocols, HTTP/2, TLS.

use super::*;

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
