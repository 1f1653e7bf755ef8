-- Times are milliseconds since 1970, ids 16 bytes, digests 32 bytes, lists and objects JSON text.

CREATE TABLE consumer (
  id         BLOB PRIMARY KEY NOT NULL,
  username   TEXT,
  custom_id  TEXT,
  tags       TEXT NOT NULL,
  groups     TEXT NOT NULL,
  metadata   TEXT NOT NULL,
  source     TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  version    INTEGER NOT NULL,
  -- The last one is checked first: of two names that are taken the username is told.
  UNIQUE (custom_id),
  UNIQUE (username),
  CHECK (username IS NOT NULL OR custom_id IS NOT NULL)
) WITHOUT ROWID;

-- What no query asks for is in `body`, as the record is serialised.
CREATE TABLE client (
  id           BLOB PRIMARY KEY NOT NULL,
  server       TEXT NOT NULL,
  client_id    TEXT NOT NULL,
  consumer     BLOB REFERENCES consumer (id),
  name         TEXT NOT NULL,
  tags         TEXT NOT NULL,
  source       TEXT NOT NULL,
  body         TEXT NOT NULL,
  last_used_at INTEGER,
  created_at   INTEGER NOT NULL,
  version      INTEGER NOT NULL,
  UNIQUE (server, client_id)
);
CREATE INDEX client_of_consumer ON client (consumer) WHERE consumer IS NOT NULL;
CREATE INDEX client_registered ON client (created_at) WHERE source = 'registration';

CREATE TABLE client_secret (
  id           BLOB PRIMARY KEY NOT NULL,
  client       BLOB NOT NULL REFERENCES client (id) ON DELETE CASCADE,
  hash         TEXT NOT NULL,
  sealed       BLOB,
  generated    INTEGER NOT NULL,
  not_after    INTEGER,
  last_used_at INTEGER,
  created_at   INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX secret_of_client ON client_secret (client);

CREATE TABLE user_account (
  id           BLOB PRIMARY KEY NOT NULL,
  username     TEXT NOT NULL UNIQUE COLLATE NOCASE,
  password     TEXT,
  claims       TEXT NOT NULL,
  enabled      INTEGER NOT NULL,
  failed       INTEGER NOT NULL,
  locked_until INTEGER,
  created_at   INTEGER NOT NULL,
  updated_at   INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE grant_family (
  id         BLOB PRIMARY KEY NOT NULL,
  server     TEXT NOT NULL,
  client_key BLOB NOT NULL,
  client_id  TEXT NOT NULL,
  subject    TEXT,
  scope      TEXT NOT NULL,
  resources  TEXT NOT NULL,
  details    TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  revoked_at INTEGER
) WITHOUT ROWID;
CREATE INDEX family_of_subject ON grant_family (subject) WHERE subject IS NOT NULL;
CREATE INDEX family_of_client ON grant_family (client_key);
CREATE INDEX family_end ON grant_family (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE authorization_code (
  hash         BLOB PRIMARY KEY NOT NULL,
  server       TEXT NOT NULL,
  client_key   BLOB NOT NULL,
  client_id    TEXT NOT NULL,
  family       BLOB NOT NULL,
  subject      TEXT NOT NULL,
  redirect_uri TEXT NOT NULL,
  redirect_sent INTEGER NOT NULL,
  scope        TEXT NOT NULL,
  resources    TEXT NOT NULL,
  challenge    TEXT,
  nonce        TEXT,
  dpop_jkt     TEXT,
  service      TEXT,
  details      TEXT NOT NULL,
  issued_at    INTEGER NOT NULL,
  expires_at   INTEGER NOT NULL,
  consumed_at  INTEGER
) WITHOUT ROWID;
CREATE INDEX code_end ON authorization_code (expires_at);

-- Most tokens belong to a client alone: they have neither family nor user, and partial indices
-- leave them out.
CREATE TABLE access_token (
  hash         BLOB PRIMARY KEY NOT NULL,
  id           BLOB NOT NULL UNIQUE,
  server       TEXT NOT NULL,
  client_key   BLOB NOT NULL,
  client_id    TEXT NOT NULL,
  family       BLOB,
  refresh      BLOB,
  subject      TEXT,
  scope        TEXT NOT NULL,
  audience     TEXT NOT NULL,
  confirmation TEXT,
  claims       TEXT NOT NULL,
  service      TEXT,
  sealed       BLOB,
  preview      TEXT NOT NULL,
  issued_at    INTEGER NOT NULL,
  expires_at   INTEGER,
  revoked_at   INTEGER
) WITHOUT ROWID;
CREATE INDEX access_of_client ON access_token (client_key);
CREATE INDEX access_of_family ON access_token (family) WHERE family IS NOT NULL;
CREATE INDEX access_of_subject ON access_token (subject) WHERE subject IS NOT NULL;
CREATE INDEX access_end ON access_token (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE refresh_token (
  hash         BLOB PRIMARY KEY NOT NULL,
  id           BLOB NOT NULL UNIQUE,
  family       BLOB NOT NULL REFERENCES grant_family (id) ON DELETE CASCADE,
  parent       BLOB UNIQUE,
  state        TEXT NOT NULL,
  successor    BLOB,
  rotated_at   INTEGER,
  grace_uses   INTEGER NOT NULL,
  access       TEXT,
  confirmation TEXT,
  sealed       BLOB,
  preview      TEXT NOT NULL,
  issued_at    INTEGER NOT NULL,
  expires_at   INTEGER
) WITHOUT ROWID;
CREATE INDEX refresh_of_family ON refresh_token (family);
CREATE INDEX refresh_end ON refresh_token (expires_at) WHERE expires_at IS NOT NULL AND state = 'active';
CREATE INDEX refresh_grace ON refresh_token (rotated_at) WHERE successor IS NOT NULL;

CREATE TABLE device_code (
  hash       BLOB PRIMARY KEY NOT NULL,
  user_code  BLOB NOT NULL UNIQUE,
  server     TEXT NOT NULL,
  client_key BLOB NOT NULL,
  client_id  TEXT NOT NULL,
  scope      TEXT NOT NULL,
  resources  TEXT NOT NULL,
  state      TEXT NOT NULL,
  subject    TEXT,
  details    TEXT NOT NULL,
  interval   INTEGER NOT NULL,
  last_poll  INTEGER,
  expires_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX device_end ON device_code (expires_at);

CREATE TABLE handle (
  kind       TEXT NOT NULL,
  hash       BLOB NOT NULL,
  payload    BLOB NOT NULL,
  subject    TEXT,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (kind, hash)
) WITHOUT ROWID;
CREATE INDEX handle_of_subject ON handle (subject) WHERE subject IS NOT NULL;
CREATE INDEX handle_end ON handle (expires_at);

CREATE TABLE replay (
  digest     BLOB PRIMARY KEY NOT NULL,
  expires_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX replay_end ON replay (expires_at);

CREATE TABLE revocation (
  seq        INTEGER PRIMARY KEY AUTOINCREMENT,
  kind       TEXT NOT NULL,
  value      TEXT NOT NULL,
  server     TEXT NOT NULL,
  not_before INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  actor      TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  UNIQUE (kind, value, server)
);
CREATE INDEX revocation_end ON revocation (expires_at);

CREATE TABLE signing_key (
  server     TEXT NOT NULL,
  kid        TEXT NOT NULL,
  label      TEXT NOT NULL,
  algorithm  TEXT NOT NULL,
  state      TEXT NOT NULL,
  public_jwk TEXT NOT NULL,
  private    BLOB NOT NULL,
  not_before INTEGER NOT NULL,
  retire_at  INTEGER,
  remove_at  INTEGER,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (server, kid)
) WITHOUT ROWID;

CREATE TABLE consent (
  subject    TEXT NOT NULL,
  client_key BLOB NOT NULL,
  scope      TEXT NOT NULL,
  resources  TEXT NOT NULL,
  granted_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (subject, client_key)
) WITHOUT ROWID;
CREATE INDEX consent_end ON consent (expires_at);
CREATE INDEX consent_of_client ON consent (client_key);

CREATE TABLE audit (
  seq      INTEGER PRIMARY KEY AUTOINCREMENT,
  at       INTEGER NOT NULL,
  actor    TEXT NOT NULL,
  action   TEXT NOT NULL,
  target   TEXT NOT NULL,
  detail   TEXT NOT NULL,
  previous TEXT NOT NULL,
  hash     TEXT NOT NULL
);

CREATE TABLE lease (
  name       TEXT PRIMARY KEY NOT NULL,
  holder     BLOB NOT NULL,
  expires_at INTEGER NOT NULL
) WITHOUT ROWID;
