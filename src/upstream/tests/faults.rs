//! What breaks is told as what it is.

use super::*;

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
