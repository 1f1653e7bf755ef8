//! Everything that outlives a request, as lines of JSON: for moving to another store, and for what
//! comes from other products. Secrets and tokens travel as hashes. Signing keys do not travel; a
//! backup has them.

use super::{
    AccessToken, Client, ClientFilter, ClientSecret, Consumer, ConsumerFilter, GrantFamily, Issue,
    Page, RefreshToken, Revocation, Store, StoreError, UserAccount,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Line {
    /// A consumer.
    Consumer(Consumer),
    /// A client.
    Client(Box<Client>),
    /// A secret of a client that came before.
    ClientSecret(ClientSecret),
    /// A user.
    User(UserAccount),
    /// A family.
    GrantFamily(GrantFamily),
    /// An access token.
    AccessToken(Box<AccessToken>),
    /// A refresh token of a family that came before.
    RefreshToken(RefreshToken),
    /// An entry of the revocation log.
    Revocation(Revocation),
}

/// What happens to what is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It stays.
    #[default]
    Merge,
    /// It is replaced.
    Replace,
}

/// What an import did, or would have done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Entities that were not there.
    pub created: u64,
    /// Entities that were replaced.
    pub changed: u64,
    /// Entities that stayed as they were.
    pub unchanged: u64,
    /// Lines that could not be taken over, with their numbers.
    pub problems: Vec<String>,
}

impl Imported {
    /// Problems that are told at most.
    const MOST: usize = 100;

    /// Notes what is wrong with a line.
    pub fn problem(&mut self, line: usize, what: &str) {
        if self.problems.len() < Self::MOST {
            self.problems.push(format!("line {line}: {what}"));
        }
    }

    fn refused(&mut self, what: &str, error: &StoreError) {
        if self.problems.len() < Self::MOST {
            self.problems.push(format!("{what}: {error}"));
        }
    }
}

/// All pages of a list, entity by entity; ends early if `take` says so.
macro_rules! each {
    ($page:ident => $listing:expr, $take:expr) => {
        let mut $page = Page::first(Page::LARGEST);
        loop {
            let listing = $listing.wait()?;
            for item in listing.items {
                if !$take(item)? {
                    return Ok(());
                }
            }
            match listing.next {
                Some(next) => $page.after = Some(next),
                None => break,
            }
        }
    };
}

/// Writes everything, in an order in which it can be imported. `write` says whether to go on. Blocks:
/// not for workers.
pub fn export(store: &dyn Store, mut write: impl FnMut(&Line) -> bool) -> Result<(), StoreError> {
    each!(page => store.consumers(ConsumerFilter::default(), page), |consumer| {
        Ok::<_, StoreError>(write(&Line::Consumer(consumer)))
    });
    each!(page => store.clients(ClientFilter::default(), page), |client: Client| {
        let secrets = store.client_by_id(client.id).wait()?;
        if !write(&Line::Client(Box::new(client))) {
            return Ok(false);
        }
        for secret in secrets.into_iter().flat_map(|stored| stored.secrets) {
            if !write(&Line::ClientSecret(secret)) {
                return Ok(false);
            }
        }
        Ok::<_, StoreError>(true)
    });
    each!(page => store.users(page), |user| {
        Ok::<_, StoreError>(write(&Line::User(user)))
    });
    each!(page => store.families(None, None, page), |family: GrantFamily| {
        let tokens = store.refresh_tokens(family.id).wait()?;
        if !write(&Line::GrantFamily(family)) {
            return Ok(false);
        }
        for token in tokens {
            if !write(&Line::RefreshToken(token)) {
                return Ok(false);
            }
        }
        Ok::<_, StoreError>(true)
    });
    each!(page => store.tokens(super::TokenFilter::default(), page), |token: super::ListedToken| {
        Ok::<_, StoreError>(write(&Line::AccessToken(Box::new(token.access))))
    });
    let mut after = 0;
    loop {
        let entries = store.revocations(after, 1000).wait()?;
        let Some(last) = entries.last() else {
            return Ok(());
        };
        after = last.seq;
        for entry in entries {
            if !write(&Line::Revocation(entry)) {
                return Ok(());
            }
        }
    }
}

/// What is to be done with an entity.
enum Plan {
    Create,
    Replace,
    Leave,
}

fn plan<T: PartialEq>(existing: Option<&T>, new: &T, mode: Mode) -> Plan {
    match existing {
        None => Plan::Create,
        Some(existing) if existing == new => Plan::Leave,
        Some(_) => match mode {
            Mode::Merge => Plan::Leave,
            Mode::Replace => Plan::Replace,
        },
    }
}

/// Takes over one line. What does not fit is noted and left out; an error is one of the store.
pub async fn import(
    store: &dyn Store,
    line: Line,
    mode: Mode,
    dry_run: bool,
    imported: &mut Imported,
) -> Result<(), StoreError> {
    let name = match &line {
        Line::Consumer(consumer) => format!("consumer {}", consumer.id),
        Line::Client(client) => format!("client {}", client.client_id),
        Line::ClientSecret(secret) => format!("secret {}", secret.id),
        Line::User(user) => format!("user {}", user.username),
        Line::GrantFamily(family) => format!("grant {}", family.id),
        Line::AccessToken(token) => format!("token {}", token.id),
        Line::RefreshToken(token) => format!("refresh token {}", token.id),
        Line::Revocation(entry) => format!("revocation of {}", entry.value),
    };
    let plan = match take(store, line, mode, dry_run).await {
        Ok(plan) => plan,
        Err(error @ (StoreError::Unavailable(_) | StoreError::Busy)) => return Err(error),
        Err(error) => {
            imported.refused(&name, &error);
            return Ok(());
        }
    };
    match plan {
        Plan::Create => imported.created += 1,
        Plan::Replace => imported.changed += 1,
        Plan::Leave => imported.unchanged += 1,
    }
    Ok(())
}

async fn take(
    store: &dyn Store,
    line: Line,
    mode: Mode,
    dry_run: bool,
) -> Result<Plan, StoreError> {
    let apply = !dry_run;
    match line {
        Line::Consumer(new) => {
            let old = store.consumer(new.id).await?;
            let version = old.as_ref().map_or(0, |old| old.version);
            let new = Consumer { version, ..new };
            let plan = plan(old.as_ref(), &new, mode);
            match plan {
                Plan::Create if apply => store.create_consumer(new).await?,
                Plan::Replace if apply => store.update_consumer(new).await.map(|_| ())?,
                Plan::Create | Plan::Replace | Plan::Leave => {}
            }
            Ok(plan)
        }
        Line::Client(new) => take_client(store, *new, mode, apply).await,
        Line::ClientSecret(new) => {
            let of = store.client_by_id(new.client).await?;
            let known = of
                .iter()
                .flat_map(|of| &of.secrets)
                .any(|old| old.id == new.id);
            if !known && apply {
                store.add_secret(new, usize::MAX).await?;
            }
            Ok(if known { Plan::Leave } else { Plan::Create })
        }
        Line::User(new) => {
            let old = store.user_by_id(new.id).await?;
            let plan = plan(old.as_ref(), &new, mode);
            match plan {
                Plan::Create if apply => store.create_user(new).await?,
                Plan::Replace if apply => store.update_user(new).await?,
                Plan::Create | Plan::Replace | Plan::Leave => {}
            }
            Ok(plan)
        }
        Line::GrantFamily(new) => {
            let known = store.family(new.id).await?.is_some();
            let issue = Issue {
                family: Some(new),
                ..Issue::default()
            };
            issue_once(store, issue, known, apply).await
        }
        Line::AccessToken(new) => {
            let known = store.token_by_id(new.id).await?.is_some();
            let issue = Issue {
                access: Some(*new),
                ..Issue::default()
            };
            issue_once(store, issue, known, apply).await
        }
        Line::RefreshToken(new) => {
            let tokens = store.refresh_tokens(new.family).await?;
            let known = tokens.iter().any(|old| old.id == new.id);
            let issue = Issue {
                refresh: Some(new),
                ..Issue::default()
            };
            issue_once(store, issue, known, apply).await
        }
        Line::Revocation(new) => {
            if apply {
                store.revoke(new).await?;
            }
            Ok(Plan::Create)
        }
    }
}

async fn issue_once(
    store: &dyn Store,
    issue: Issue,
    known: bool,
    apply: bool,
) -> Result<Plan, StoreError> {
    if known {
        return Ok(Plan::Leave);
    }
    if apply {
        store.issue(issue).await?;
    }
    Ok(Plan::Create)
}

async fn take_client(
    store: &dyn Store,
    new: Client,
    mode: Mode,
    apply: bool,
) -> Result<Plan, StoreError> {
    let old = store.client_by_id(new.id).await?.map(|old| old.client);
    let new = Client {
        version: old.as_ref().map_or(0, |old| old.version),
        last_used_at: old
            .as_ref()
            .map_or(new.last_used_at, |old| old.last_used_at),
        ..new
    };
    let plan = plan(old.as_ref(), &new, mode);
    match plan {
        Plan::Create if apply => store.create_client(new, Vec::new()).await?,
        Plan::Replace if apply => store.update_client(new, None).await.map(|_| ())?,
        Plan::Create | Plan::Replace | Plan::Leave => {}
    }
    Ok(plan)
}

/// An id that is the same each time the same thing of another product is imported.
pub fn imported_id(product: &str, kind: &str, key: &str) -> Uuid {
    match Uuid::try_parse(key) {
        Ok(id) => id,
        Err(_) => super::file_id(kind, product, key),
    }
}
