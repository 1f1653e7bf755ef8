//! Forward proxies.

use super::*;

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
            tls: None,
            protocol: Protocol::Http {
                authorization: Some(HeaderValue::from_static("Basic x")),
            },
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

/// Plays a SOCKS5 server that wants `me` and `pass`, then an origin; sees the name it is asked for.
async fn socks(mut stream: TcpStream) {
    let mut greeting = [0; 2];
    stream.read_exact(&mut greeting).await.unwrap();
    let mut methods = vec![0; usize::from(greeting[1])];
    stream.read_exact(&mut methods).await.unwrap();
    assert!(methods.contains(&2), "{methods:?}");
    stream.write_all(&[5, 2]).await.unwrap();
    let mut credentials = [0; 9];
    stream.read_exact(&mut credentials).await.unwrap();
    assert_eq!(&credentials, b"\x01\x02me\x04pass");
    stream.write_all(&[1, 0]).await.unwrap();
    let mut asked = [0; 21];
    stream.read_exact(&mut asked).await.unwrap();
    assert_eq!(&asked, b"\x05\x01\x00\x03\x0eorigin.invalid\x00\x50");
    stream
        .write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])
        .await
        .unwrap();
    let head = read_to(&mut stream, b"\r\n\r\n").await.unwrap();
    assert!(head.starts_with("GET /path?q HTTP/1.1\r\n"), "{head}");
    assert!(!head.to_lowercase().contains("proxy-"), "{head}");
    stream.write_all(OK).await.unwrap();
}

#[test]
fn a_socks_proxy_makes_a_tunnel_to_http_origins_too() {
    run(async {
        let (port, _) = origin(|_, stream| socks(stream)).await;
        let mut settings = settings(80);
        settings.host = "origin.invalid".into();
        let proxy = ForwardProxy {
            host: "127.0.0.1".into(),
            port,
            tls: None,
            protocol: Protocol::Socks5 {
                credentials: Some(("me".into(), "pass".to_owned().into())),
            },
        };
        assert!(!format!("{proxy:?}{:?}", proxy.protocol).contains("pass"));
        settings.proxy = Some(Arc::new(proxy));
        let target = Target::new(settings).unwrap();
        let sent = Upstream::default()
            .send(&target, get(), &Limits::default())
            .await
            .unwrap();
        assert_eq!(text(sent).await.unwrap(), "ok");
    });
}
