//! WebSocket conversations (RFC 6455) through the gateway, both ends by tungstenite.

use crate::conversation::{Served, converse, listen};
use crate::support::value::Value;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message, http};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, accept_async, connect_async};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

fn configuration(origin: &str, more: &str) -> String {
    format!(
        r#"
server {{
  hosts = ["*:{{port}}"]
  endpoint "/chat/{{room}}" {{
    proxy {{
      backend {{
        origin = "http://{origin}"
        path = "/rooms/${{request.path_params.room}}"
        max_connections = 1
      }}
      websockets {{
        {more}
      }}
    }}
  }}
}}
"#
    )
}

async fn connect(served: &Served) -> Socket {
    let url = format!("ws://127.0.0.1:{}/chat/7", served.port);
    connect_async(url).await.unwrap().0
}

/// Sends every message back, up to the client's close frame.
async fn echo(listener: TcpListener) {
    let (stream, _) = listener.accept().await.unwrap();
    let mut socket = accept_async(stream).await.unwrap();
    while let Some(Ok(message)) = socket.next().await {
        if message.is_text() || message.is_binary() {
            socket.send(message).await.unwrap();
        }
    }
}

#[test]
fn messages_of_all_sizes_go_both_ways_and_a_close_ends_them() {
    converse(async {
        let (listener, origin) = listen().await;
        let served = Served::start(&configuration(&origin, ""));
        let echoing = tokio::spawn(echo(listener));
        let mut client = connect(&served).await;
        for size in [0, 1, 125, 126, 65_535, 65_536, 1 << 20] {
            let text = Message::text("x".repeat(size));
            client.send(text.clone()).await.unwrap();
            assert_eq!(client.next().await.unwrap().unwrap(), text);
        }
        client
            .send(Message::Ping("are you there".into()))
            .await
            .unwrap();
        let pong = client.next().await.unwrap().unwrap();
        assert_eq!(pong, Message::Pong("are you there".into()));
        let goodbye = CloseFrame {
            code: CloseCode::Normal,
            reason: "done".into(),
        };
        client.close(Some(goodbye.clone())).await.unwrap();
        let answer = client.next().await.unwrap().unwrap();
        assert_eq!(answer, Message::Close(Some(goodbye)));
        assert!(client.next().await.is_none());
        echoing.await.unwrap();
        let backend = served.entry("couper_backend");
        assert!(matches!(backend.get("status"), Some(Value::Integer(101))));
        let access = served.entry("couper_access");
        assert!(matches!(access.get("status"), Some(Value::Integer(101))));
        let Some(Value::Table(response)) = access.get("response") else {
            panic!("{access:?}");
        };
        assert!(matches!(
            response.get("bytes"),
            Some(Value::Integer(1_179_000..))
        ));
    });
}

#[test]
fn a_graceful_end_tells_both_sides() {
    converse(async {
        let (listener, origin) = listen().await;
        let mut served = Served::start(&configuration(&origin, ""));
        let at_origin = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut socket = accept_async(stream).await.unwrap();
            socket.send(Message::text("hello")).await.unwrap();
            let last = socket.next().await.unwrap().unwrap();
            let _ = socket.close(None).await;
            last
        });
        let mut client = connect(&served).await;
        assert_eq!(
            client.next().await.unwrap().unwrap(),
            Message::text("hello")
        );
        served.gateway.signal("TERM").unwrap();
        let away = |message: Message| match message {
            Message::Close(Some(frame)) => frame.code == CloseCode::Away,
            _ => false,
        };
        assert!(away(client.next().await.unwrap().unwrap()));
        assert!(away(at_origin.await.unwrap()));
        // The answer to the close frame is on its way once the end is seen.
        assert!(client.next().await.is_none());
        tokio::task::spawn_blocking(move || served.gateway.expect_exit(0))
            .await
            .unwrap()
            .unwrap();
    });
}

#[test]
fn time_that_is_over_is_told_too() {
    converse(async {
        let (listener, origin) = listen().await;
        let served = Served::start(&configuration(&origin, "idle_timeout = \"200ms\""));
        let echoing = tokio::spawn(echo(listener));
        let mut client = connect(&served).await;
        let message = client.next().await.unwrap().unwrap();
        let Message::Close(Some(frame)) = message else {
            panic!("{message:?}");
        };
        assert_eq!(frame.code, CloseCode::Away);
        assert!(client.next().await.is_none());
        echoing.await.unwrap();
    });
}

#[test]
fn a_client_that_leaves_is_noticed_at_the_origin_and_frees_its_place() {
    converse(async {
        let (listener, origin) = listen().await;
        let served = Served::start(&configuration(&origin, ""));
        for _ in 0..2 {
            // The backend allows one connection: the second would wait while the first lasted.
            let (client, accepted) = tokio::join!(connect(&served), listener.accept_socket());
            let mut accepted = accepted;
            drop(client);
            let end = accepted.next().await;
            assert!(matches!(end, None | Some(Err(_))), "{end:?}");
        }
    });
}

#[test]
fn a_refused_handshake_is_an_answer() {
    converse(async {
        let (listener, origin) = listen().await;
        let served = Served::start(&configuration(&origin, ""));
        drop(listener);
        let url = format!("ws://127.0.0.1:{}/chat/7", served.port);
        match connect_async(url).await {
            Err(Error::Http(response)) => {
                assert_eq!(response.status(), http::StatusCode::BAD_GATEWAY);
            }
            other => panic!("{other:?}"),
        }
    });
}

trait AcceptSocket {
    async fn accept_socket(&self) -> WebSocketStream<TcpStream>;
}

impl AcceptSocket for TcpListener {
    async fn accept_socket(&self) -> WebSocketStream<TcpStream> {
        let (stream, _) = self.accept().await.unwrap();
        accept_async(stream).await.unwrap()
    }
}
