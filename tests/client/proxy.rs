//! A network that fails on purpose: between client and broker, under the test's control.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the network does at present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Weather {
    /// Connections of an earlier era are cut.
    era: u64,
    /// What the broker says is lost.
    is_mute: bool,
    /// Nobody gets through.
    is_shut: bool,
    /// The broker does not learn that a connection was cut.
    is_clinging: bool,
    /// A connection is cut after a random number of bytes, and delayed now and then.
    is_stormy: bool,
}

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    weather: watch::Sender<Weather>,
    accepting: JoinHandle<()>,
    pub(crate) cuts: Arc<AtomicU64>,
}

/// xorshift64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

impl Proxy {
    pub(crate) async fn start(broker: SocketAddr, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let weather = watch::Sender::new(Weather::default());
        let cuts = Arc::new(AtomicU64::new(0));
        let accepting =
            tokio::spawn(accept(listener, broker, weather.clone(), Arc::clone(&cuts), seed));
        Self { address, weather, accepting, cuts }
    }

    pub(crate) fn uri(&self) -> String {
        format!("amqp://{}", self.address)
    }

    /// Ends every connection.
    pub(crate) fn cut(&self) {
        self.weather.send_modify(|weather| weather.era += 1);
    }

    /// From now on nothing comes back from the broker; what goes there still arrives.
    pub(crate) fn mute(&self) {
        self.weather.send_modify(|weather| weather.is_mute = true);
    }

    pub(crate) fn unmute(&self) {
        self.weather.send_modify(|weather| weather.is_mute = false);
    }

    /// From now on the broker does not learn of the end of connections; or it does again, also of
    /// those that ended meanwhile.
    pub(crate) fn cling(&self, is_clinging: bool) {
        self.weather.send_modify(|weather| weather.is_clinging = is_clinging);
    }

    pub(crate) fn shut(&self) {
        self.weather.send_modify(|weather| {
            weather.is_shut = true;
            weather.era += 1;
        });
    }

    pub(crate) fn storm(&self, is_stormy: bool) {
        self.weather.send_modify(|weather| weather.is_stormy = is_stormy);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn accept(
    listener: TcpListener,
    broker: SocketAddr,
    weather: watch::Sender<Weather>,
    cuts: Arc<AtomicU64>,
    seed: u64,
) {
    for number in 1_u64.. {
        let (client, _) = listener.accept().await.unwrap();
        if weather.borrow().is_shut {
            continue;
        }
        let (weather, cuts) = (weather.subscribe(), Arc::clone(&cuts));
        let random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(number) | 1);
        tokio::spawn(async move {
            if let Ok(upstream) = TcpStream::connect(broker).await {
                relay(client, upstream, weather, random).await;
                cuts.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
}

async fn relay(
    client: TcpStream,
    broker: TcpStream,
    weather: watch::Receiver<Weather>,
    mut random: Random,
) {
    let fate = |random: &mut Random| Fate {
        bytes_left: 2_000 + random.below(200_000),
        random: Random(random.below(u64::MAX) | 1),
    };
    let (to_broker, to_client) = (fate(&mut random), fate(&mut random));
    // A reset instead of an orderly end, every other time.
    if random.below(2) == 0 {
        let _ = client.set_zero_linger();
    }
    let (mut client_read, mut client_write) = client.into_split();
    let (mut broker_read, mut broker_write) = broker.into_split();
    let era = weather.borrow().era;
    let mut end = weather.clone();
    let upward = copy(&mut client_read, &mut broker_write, weather.clone(), to_broker, false);
    let downward = copy(&mut broker_read, &mut client_write, weather, to_client, true);
    tokio::select! {
        () = upward => {}
        () = downward => {}
        _ = end.wait_for(|weather| weather.era != era) => {}
    }
    drop((client_read, client_write));
    // The broker's halves live until then.
    let _ = end.wait_for(|weather| !weather.is_clinging).await;
}

struct Fate {
    bytes_left: u64,
    random: Random,
}

async fn copy(
    from: &mut OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    weather: watch::Receiver<Weather>,
    mut fate: Fate,
    is_from_broker: bool,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return };
        let now = *weather.borrow();
        let mut passed = &buffer[..count];
        if now.is_stormy {
            if fate.bytes_left < count as u64 {
                passed = &passed[..fate.bytes_left as usize];
            }
            if fate.random.below(20) == 0 {
                tokio::time::sleep(Duration::from_millis(fate.random.below(30))).await;
            }
        }
        if is_from_broker && now.is_mute {
            continue;
        }
        if to.write_all(passed).await.is_err() {
            return;
        }
        if now.is_stormy {
            fate.bytes_left -= passed.len() as u64;
            if passed.len() < count {
                return;
            }
        }
    }
}
