//! Keeps the shell connected: connects, hands on events, and goes on with the same session when a
//! connection was lost.

use std::convert::Infallible;
use std::time::Duration;

use ox_client::{Client, ConnectOptions, Error, Event, Servers};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// How long to wait after a failed attempt. Java's client waits up to a second.
const RETRY: Duration = Duration::from_millis(500);

/// What has become of the connection.
#[derive(Debug)]
pub(crate) enum Notice {
    /// There is one.
    Connected(Client),
    /// An attempt failed; there will be another.
    Failed(Error),
    /// It was lost; attempts follow.
    Lost,
    /// The session is over. Nothing follows.
    Expired,
    /// A watch has fired.
    Fired(Event),
}

/// The task behind the shell. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) notices: mpsc::UnboundedReceiver<Notice>,
    task: JoinHandle<()>,
}

impl Link {
    /// Begins to connect.
    pub(crate) fn new(servers: Servers, options: ConnectOptions) -> Self {
        let (sender, notices) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            // Ends by itself only when nobody listens any more.
            let Err(Ended) = keep(&servers, options, &sender).await;
        });
        Self { notices, task }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Ended;

async fn keep(
    servers: &Servers,
    mut options: ConnectOptions,
    notices: &mpsc::UnboundedSender<Notice>,
) -> Result<Infallible, Ended> {
    let tell = |notice| notices.send(notice).map_err(|_| Ended);
    loop {
        match Client::connect(servers, &options).await {
            Ok((client, mut events)) => {
                // Held here, the session's state outlives the connection.
                tell(Notice::Connected(client.clone()))?;
                while let Some(event) = events.next().await {
                    tell(Notice::Fired(event))?;
                }
                options.session = Some(client.session());
                tell(Notice::Lost)?;
            }
            Err(Error::SessionExpired) => {
                tell(Notice::Expired)?;
                return Err(Ended);
            }
            Err(error) => {
                tell(Notice::Failed(error))?;
                sleep(RETRY).await;
            }
        }
    }
}
