//! Every wait has a limit, and so has every queue.

use super::*;

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
