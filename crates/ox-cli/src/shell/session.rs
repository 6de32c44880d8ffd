//! The shell between its commands: connection, watches, history, exit code.

use std::time::Duration;

use bytes::Bytes;
use jiff::tz::TimeZone;
use ox_client::{Client, ConnectOptions, Error};
use ox_proto::{ErrorCode, Stat};
use tokio::time::timeout;

use super::commands;
use super::link::{Link, Notice};
use super::watches::Watches;
use super::{Console, Failure, Invocation, format};

/// What the session is in, as the prompt and the events call it.
#[derive(Debug)]
pub(crate) enum State {
    Connecting,
    Connected(Client),
    Closed,
    AuthFailed,
}

/// Everything that lasts from one command to the next.
#[derive(Debug)]
pub(crate) struct Shell {
    pub(crate) console: Console,
    pub(crate) zone: TimeZone,
    /// Where the servers are, as it was written.
    pub(crate) servers: String,
    options: ConnectOptions,
    link: Option<Link>,
    pub(crate) state: State,
    pub(crate) watches: Watches,
    /// The identities to show again on a new connection.
    auths: Vec<(String, Option<Bytes>)>,
    /// False after `printwatches off`.
    pub(crate) prints_watches: bool,
    /// The lines so far, of an interactive shell.
    pub(crate) history: Vec<String>,
    /// Set by `quit`.
    pub(crate) quits: bool,
    /// That of the last command.
    pub(crate) exit: u8,
}

impl Shell {
    pub(crate) fn new(invocation: &Invocation) -> Self {
        let mut shell = Self {
            console: Console::new(),
            zone: format::zone(),
            servers: invocation.servers.clone(),
            options: ConnectOptions {
                timeout: invocation.timeout,
                read_only: invocation.read_only,
                session: None,
            },
            link: None,
            state: State::Closed,
            watches: Watches::default(),
            auths: Vec::new(),
            prints_watches: true,
            history: Vec::new(),
            quits: false,
            exit: 0,
        };
        shell
            .console
            .out(&format!("Connecting to {}", shell.servers));
        shell.begin();
        shell
    }

    fn begin(&mut self) {
        let servers = Invocation::servers(&self.servers);
        self.link = Some(Link::new(servers, self.options.clone()));
        self.state = State::Connecting;
    }

    /// Ends the session that there is and begins one at `servers`.
    pub(crate) async fn connect(&mut self, servers: Option<&str>) {
        self.close().await;
        if let Some(servers) = servers {
            self.servers = servers.to_owned();
        }
        self.watches = Watches::default();
        self.auths.clear();
        self.begin();
    }

    /// Ends the session. Whether the server hears of it makes no difference here.
    pub(crate) async fn close(&mut self) {
        self.link = None;
        let state = std::mem::replace(&mut self.state, State::Closed);
        match state {
            State::Connected(client) => {
                if let Err(error) = client.close().await {
                    self.console
                        .err(&format!("Closed without an answer: {error}"));
                }
                self.tell(&format::state("Closed"));
            }
            State::Connecting => self.tell(&format::state("Closed")),
            State::Closed | State::AuthFailed => {}
        }
    }

    /// The connection; waits for one that is being made, for as long as one attempt takes.
    pub(crate) async fn client(&mut self) -> Result<Client, Failure> {
        loop {
            match &self.state {
                State::Connected(client) => return Ok(client.clone()),
                State::Closed | State::AuthFailed => return Err(Failure::NotConnected),
                State::Connecting => {}
            }
            let notice = self.notice().await;
            if let Some(error) = self.heed(notice).await {
                return Err(Failure::Request { error, path: None });
            }
        }
    }

    /// As [`Shell::client`], for a request about `path`.
    pub(crate) async fn client_for(&mut self, path: &str) -> Result<Client, Failure> {
        match self.client().await {
            Err(Failure::Request { error, .. }) => Err(Failure::about(path)(error)),
            outcome => outcome,
        }
    }

    /// Waits until there is a connection, however many attempts it takes.
    pub(crate) async fn wait_for_connection(&mut self, patience: Duration) -> Result<(), Failure> {
        let attempts = async { while let Err(Failure::Request { .. }) = self.client().await {} };
        timeout(patience, attempts)
            .await
            .map_err(|_| Failure::Request {
                error: Error::ConnectionLoss,
                path: None,
            })
    }

    /// The next news of the connection.
    pub(crate) async fn notice(&mut self) -> Notice {
        let next = match &mut self.link {
            Some(link) => link.notices.recv().await,
            None => None,
        };
        match next {
            Some(notice) => notice,
            // There will be no more.
            None => std::future::pending().await,
        }
    }

    /// Takes in all news that have come already.
    pub(crate) async fn heed_all(&mut self) {
        while let Some(link) = &mut self.link
            && let Ok(notice) = link.notices.try_recv()
        {
            self.heed(notice).await;
        }
    }

    /// Takes in the news; answers why an attempt to connect failed.
    pub(crate) async fn heed(&mut self, notice: Notice) -> Option<Error> {
        match notice {
            Notice::Connected(client) => self.connected(client).await,
            Notice::Failed(error) => return Some(error),
            Notice::Lost => {
                // After a failed auth the server hangs up; that session is not gone on with.
                if let State::Connected(_) = self.state {
                    self.state = State::Connecting;
                    self.tell(&format::state("Disconnected"));
                }
            }
            Notice::Expired => {
                self.state = State::Closed;
                self.link = None;
                self.tell(&format::state("Expired"));
                return Some(Error::SessionExpired);
            }
            Notice::Fired(event) => {
                self.watches.fired(&event);
                self.tell(&format::event(&event));
            }
        }
        None
    }

    async fn connected(&mut self, client: Client) {
        let session = client.session();
        self.tell(&format::state(match session.read_only {
            true => "ConnectedReadOnly",
            false => "SyncConnected",
        }));
        self.state = State::Connected(client.clone());
        for (scheme, auth) in self.auths.clone() {
            self.authenticate(&client, &scheme, auth).await;
        }
        if let Some(request) = self.watches.request(session.last_zxid) {
            // If this fails the connection is lost again, and the next one will leave them.
            let _ = client.set_watches(&request).await;
        }
    }

    /// Adds an identity, now and after every reconnect.
    pub(crate) async fn add_auth(
        &mut self,
        scheme: &str,
        auth: Option<Bytes>,
    ) -> Result<(), Failure> {
        let client = self.client().await?;
        self.auths.push((scheme.to_owned(), auth.clone()));
        self.authenticate(&client, scheme, auth).await;
        Ok(())
    }

    async fn authenticate(&mut self, client: &Client, scheme: &str, auth: Option<Bytes>) {
        if let Err(Error::Server(ErrorCode::AuthFailed)) = client.add_auth(scheme, auth).await {
            self.state = State::AuthFailed;
            self.link = None;
            self.tell(&format::state("AuthFailed"));
        }
    }

    /// An error if the session is over; one that is being made counts as alive.
    pub(crate) fn alive(&self) -> Result<(), Failure> {
        match self.state {
            State::Connecting | State::Connected(_) => Ok(()),
            State::Closed | State::AuthFailed => Err(Failure::NotConnected),
        }
    }

    pub(crate) fn print_stat(&self, stat: &Stat) {
        self.console.out(&format::stat(stat, &self.zone));
    }

    /// Prints what has happened, unless `printwatches` is off.
    pub(crate) fn tell(&self, event: &str) {
        if self.prints_watches {
            self.console.out(event);
        }
    }

    /// Runs one command to its end and sets the exit code.
    pub(crate) async fn run(&mut self, words: &[String]) {
        self.exit = commands::run(self, words).await;
        self.heed_all().await;
    }

    /// `[zk: host:port(CONNECTED) 3] `.
    pub(crate) fn prompt(&self) -> String {
        let state = match &self.state {
            State::Connecting => "CONNECTING",
            State::Connected(client) if client.session().read_only => "CONNECTEDREADONLY",
            State::Connected(_) => "CONNECTED",
            State::Closed => "CLOSED",
            State::AuthFailed => "AUTH_FAILED",
        };
        format!("[zk: {}({state}) {}] ", self.servers, self.history.len())
    }
}
