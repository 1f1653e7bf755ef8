//! Connections are used again, and what happens if the origin has closed one meanwhile.

use super::*;

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

/// An origin that answers on the first connection and closes all later ones but the last, without a
/// byte, when a request has come.
async fn forgetful(closed: usize) -> (u16, Rc<Cell<usize>>) {
    origin(move |number, mut stream| async move {
        if (1..=closed).contains(&number) {
            read_to(&mut stream, b"\r\n\r\n").await.unwrap();
        } else {
            serve(stream, OK).await;
        }
    })
    .await
}

#[test]
fn a_new_connection_counts_as_an_idle_one_where_another_worker_has_one() {
    run(async {
        let (port, count) = forgetful(1).await;
        let target = target(port);
        let first = Upstream::default();
        let sent = first.send(&target, get(), &Limits::default()).await;
        assert_eq!(text(sent.unwrap()).await.unwrap(), "ok");
        // Another worker's connections, which share nothing but the backend's limit.
        let second = Upstream::default();
        let sent = second
            .send(&target, get(), &Limits::default())
            .await
            .unwrap();
        assert!(sent.timings.retried && !sent.timings.reused);
        assert_eq!(text(sent).await.unwrap(), "ok");
        assert_eq!(count.get(), 3);
    });
}

#[test]
fn a_new_connection_is_no_reason_to_send_again_otherwise() {
    run(async {
        let (port, count) = forgetful(1).await;
        let first = target(port);
        let upstream = Upstream::default();
        let sent = upstream.send(&first, get(), &Limits::default()).await;
        assert_eq!(text(sent.unwrap()).await.unwrap(), "ok");
        // Another backend's.
        let error = upstream
            .send(&target(port), get(), &Limits::default())
            .await
            .unwrap_err();
        assert!(matches!(error, UpstreamError::Dropped(_)), "{error:?}");
        assert_eq!(count.get(), 2);
        // Nor is it for what must not be sent twice.
        let post = request(Method::POST, "x");
        let (port, count) = forgetful(1).await;
        let target = target(port);
        let sent = upstream.send(&target, get(), &Limits::default()).await;
        assert_eq!(text(sent.unwrap()).await.unwrap(), "ok");
        let sent = Upstream::default()
            .send(&target, post, &Limits::default())
            .await;
        assert!(matches!(sent, Err(UpstreamError::Dropped(_))), "{sent:?}");
        assert_eq!(count.get(), 2);
    });
}
