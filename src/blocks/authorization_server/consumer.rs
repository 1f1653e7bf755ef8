//! `consumer`: a person or program that owns clients.
//!
//! ```hcl
//! consumer "acme" {
//!   custom_id = "c-1"
//! }
//! ```

use crate::blocks::reader::Reader;
use crate::blocks::schema::{AttributeSchema, BlockSchema, Kind, Labels};
use crate::expr::Value;
use crate::oauth::server::Consumer;
use crate::store::file_id;

/// The block's table.
pub static SCHEMA: BlockSchema = BlockSchema {
    name: "consumer",
    // Required in `definitions`, which checks it.
    labels: Labels::Optional,
    attributes: &[
        AttributeSchema::start("custom_id", Kind::String, "Its id in another system."),
        AttributeSchema::start("tags", Kind::Strings, "Tags."),
        AttributeSchema::start("groups", Kind::Strings, "Groups."),
        AttributeSchema::start(
            "permissions",
            Kind::Strings,
            "Permissions that it has beside those of its tokens.",
        ),
        AttributeSchema::start("metadata", Kind::Object, "Free data, for expressions."),
    ],
    groups: &[],
    blocks: &[],
    rules: &[],
    docs: "A person or program that owns clients. Access controls tell origins who it is.",
    example: r#"server {
  hosts                = ["localhost:8080"]
  authorization_server = "main"
}

definitions {
  consumer "acme" {
    custom_id = "c-1"
  }
  authorization_server "main" {
    issuer = "http://localhost:8080"
    client "worker" {
      client_secret = env.WORKER_SECRET
      consumer      = "acme"
    }
  }
}

defaults {
  environment_variables = {
    WORKER_SECRET = "only-an-example"
  }
}
"#,
};

/// Reads the block.
pub fn read(reader: Reader<'_>) -> Consumer {
    let username = reader.block.label();
    let list = |name: &str| -> Vec<String> {
        let given = reader.strings(name).map(|list| list.value);
        given.into_iter().flatten().map(|item| item.value).collect()
    };
    let boxed = |name: &str| list(name).into_iter().map(Into::into).collect();
    let metadata = reader.value("metadata");
    Consumer {
        id: file_id("consumer", "", username),
        username: Some(username.into()),
        custom_id: reader.filled("custom_id").map(|id| id.value.into()),
        tags: boxed("tags"),
        groups: boxed("groups"),
        permissions: list("permissions"),
        metadata: metadata.map_or(Value::Null, |metadata| metadata.value),
    }
}
