//! How the broker itself asks the shard, for the admin listener, definitions and the first user: by a
//! connection without a socket that lives for one request, with the same commands, checks and promises
//! as any client's.

use crate::connection::connections::{Connections, Entry, EventReceiver};
use crate::connection::publish_budget::{PublishBudget, PublishShare, Published};
use crate::shard::mailbox::{Batch, Mail, MailSender, ReportQuestion, ShardQuery};
use forebay_engine::command::{Command, Publish};
use forebay_engine::event::{Event, Reply};
use forebay_engine::model::{
    ChannelId, ClientIdentity, Closure, Fault, PublishSeq, QueueId, Settle,
};
use forebay_engine::shard::{
    ChannelReport, ConsumerReport, ScheduleReport, Shard, ShardStatistics,
};
use forebay_wire::ShortStr;
use std::collections::VecDeque;
use std::pin::Pin;
use tokio::sync::oneshot;

/// The channel that sessions work on.
pub const SESSION_CHANNEL: ChannelId = ChannelId(1);

/// The way to the shard. Clones are the same.
#[derive(Clone)]
pub struct ShardLink {
    /// Where requests go.
    pub mailbox: MailSender,
    /// Where sessions are entered.
    pub connections: Connections,
    /// Room for published messages.
    pub budget: PublishBudget,
}

/// Why the shard did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// It refused.
    #[error("{0}")]
    Refused(Fault),
    /// The broker stops.
    #[error("the broker is stopping")]
    Stopping,
}

/// What is done in a session.
pub type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T, SessionError>> + Send + 'a>>;

/// A connection without a socket.
pub struct Session {
    link: ShardLink,
    entry: Entry,
    events: EventReceiver,
    pending: VecDeque<Event>,
}

impl ShardLink {
    /// Asks the shard something while the broker starts; `question` must be short.
    ///
    /// # Errors
    /// When the broker stops.
    pub async fn query_shard<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Shard) -> T + Send + 'static,
    ) -> Result<T, SessionError> {
        let (answer, answered) = oneshot::channel();
        // Who asked may have gone.
        let query = ShardQuery(Box::new(move |shard| drop(answer.send(question(shard)))));
        self.mailbox.send(Mail::ShardQuery(query)).await.map_err(|_| SessionError::Stopping)?;
        answered.await.map_err(|_| SessionError::Stopping)
    }

    /// Waits until the shard has taken a piece of mail.
    ///
    /// # Errors
    /// When the broker stops.
    pub async fn ping(&self) -> Result<(), SessionError> {
        let (answer, answered) = oneshot::channel();
        self.mailbox.send(Mail::Ping(answer)).await.map_err(|_| SessionError::Stopping)?;
        answered.await.map_err(|_| SessionError::Stopping)
    }

    /// How things stand, with the ages of messages: all queues, or one.
    ///
    /// # Errors
    /// When the broker stops.
    pub async fn report(&self, queue: Option<QueueId>) -> Result<ShardStatistics, SessionError> {
        self.question(|answer| ReportQuestion::Queues(queue, answer)).await
    }

    /// The consumers of all queues, or of one.
    ///
    /// # Errors
    /// When the broker stops.
    pub async fn consumers(
        &self,
        queue: Option<QueueId>,
    ) -> Result<Vec<ConsumerReport>, SessionError> {
        self.question(|answer| ReportQuestion::Consumers(queue, answer)).await
    }

    /// The channels that consume, or hold or held messages.
    ///
    /// # Errors
    /// When the broker stops.
    pub async fn channels(&self) -> Result<Vec<ChannelReport>, SessionError> {
        self.question(ReportQuestion::Channels).await
    }

    /// All schedules, and how far they have come.
    ///
    /// # Errors
    /// When the broker stops.
    pub async fn schedules(&self) -> Result<Vec<ScheduleReport>, SessionError> {
        self.question(ReportQuestion::Schedules).await
    }

    async fn question<T>(
        &self,
        question: impl FnOnce(oneshot::Sender<T>) -> ReportQuestion,
    ) -> Result<T, SessionError> {
        let (answer, answered) = oneshot::channel();
        let mail = Mail::Report(question(answer));
        self.mailbox.send(mail).await.map_err(|_| SessionError::Stopping)?;
        answered.await.map_err(|_| SessionError::Stopping)
    }

    /// Does something in a session, which is closed afterwards, also when nobody waits any more.
    ///
    /// # Errors
    /// Those of `work`, and when the broker stops.
    pub async fn in_session<T: Send + 'static>(
        &self,
        vhost: ShortStr,
        user: ShortStr,
        work: impl for<'a> FnOnce(&'a mut Session) -> Work<'a, T> + Send + 'static,
    ) -> Result<T, SessionError> {
        let link = self.clone();
        let task = tokio::spawn(async move {
            let mut session = Session::open(link, vhost, user).await?;
            let result = work(&mut session).await;
            session.close().await;
            result
        });
        task.await.unwrap_or(Err(SessionError::Stopping))
    }

    /// One request in a session of its own.
    ///
    /// # Errors
    /// When it is refused, or the broker stops.
    pub async fn ask(
        &self,
        vhost: ShortStr,
        user: ShortStr,
        command: Command,
    ) -> Result<Reply, SessionError> {
        self.in_session(vhost, user, move |session| Box::pin(session.ask(command))).await
    }
}

impl Session {
    async fn open(link: ShardLink, vhost: ShortStr, user: ShortStr) -> Result<Self, SessionError> {
        // The limit is for sockets.
        let (entry, events) = link.connections.enter_session();
        let mut session = Self { link, entry, events, pending: VecDeque::new() };
        let opens = Some(session.entry.sender());
        let commands = vec![Command::OpenConnection { vhost, identity: ClientIdentity::of(user) }];
        session.send_batch(opens, commands, PublishShare::default()).await?;
        Ok(session)
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// When it is refused, or the broker stops.
    pub async fn ask(&mut self, command: Command) -> Result<Reply, SessionError> {
        self.send_batch(None, vec![command], PublishShare::default()).await?;
        loop {
            if let Event::Reply { reply, .. } = self.next_event().await? {
                return reply.map_err(SessionError::Refused);
            }
        }
    }

    /// Publishes one message and waits until the queues have it; whether they took it.
    ///
    /// # Errors
    /// When the broker stops.
    pub async fn publish(&mut self, publish: Publish) -> Result<bool, SessionError> {
        let publish = Publish { confirm: Some(PublishSeq(1)), ..publish };
        let commands = vec![Command::Publish(publish)];
        let share = self.link.budget.take(Published::by(&commands)).await;
        self.send_batch(None, commands, share).await?;
        loop {
            match self.next_event().await? {
                Event::Confirm { .. } => return Ok(true),
                Event::Refuse { .. } => return Ok(false),
                _ => {}
            }
        }
    }

    /// Settles what the session got.
    ///
    /// # Errors
    /// When the broker stops.
    pub async fn settle(&mut self, settles: Vec<Settle>) -> Result<(), SessionError> {
        let commands = settles.into_iter().map(Command::Settle).collect();
        self.send_batch(None, commands, PublishShare::default()).await
    }

    /// Ends the session; what it got and did not settle returns.
    async fn close(mut self) {
        let id = self.entry.id();
        let close = vec![Command::CloseConnection { closure: Closure::ByBroker }];
        let asked = self.send_batch(None, close, PublishShare::default()).await;
        if asked.is_ok() {
            while let Some(events) = self.events.recv().await {
                let is_end =
                    |event: &Event| matches!(event, Event::Reply { channel: ChannelId(0), .. });
                if events.iter().any(is_end) {
                    break;
                }
            }
        }
        // The mailbox is closed only when the broker ends.
        let _ = self.link.mailbox.send(Mail::Left(id)).await;
    }

    async fn next_event(&mut self) -> Result<Event, SessionError> {
        loop {
            match self.pending.pop_front() {
                Some(Event::Close { .. }) => return Err(SessionError::Stopping),
                Some(event) => return Ok(event),
                None => {}
            }
            self.pending.extend(self.events.recv().await.ok_or(SessionError::Stopping)?);
        }
    }

    async fn send_batch(
        &mut self,
        opens: Option<crate::connection::connections::EventSender>,
        commands: Vec<Command>,
        share: PublishShare,
    ) -> Result<(), SessionError> {
        if commands.is_empty() {
            return Ok(());
        }
        let batch = Batch { connection: self.entry.id(), opens, commands, share };
        self.link.mailbox.send(Mail::Batch(batch)).await.map_err(|_| SessionError::Stopping)
    }
}
