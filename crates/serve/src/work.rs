//! How models compute for many clients at once.
//!
//! One rule shares the processor: everything that computes takes a turn, in the order in which it asked for one. A turn is one
//! batch of pictures, one step of a batch whose model makes pictures in many steps, or 40 ms of writing; kernels use all cores
//! inside it. Requests for pictures of one model that wait at the same time are computed in one batch, and texts of one model are
//! written token by token together. A client that has left is not computed for.

mod scribe;

use crate::lock;
use crate::metrics::Metrics;
use crate::problem::{Answer, Problem};
use crate::shelf::Painter;
use maliang::generate::sampler::Sampler;
use maliang::generate::text::Finish;
use maliang::generate::writer::Author;
use maliang::picture::Picture;
use maliang::provenance::recipe;
use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::runtime::Handle;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc, oneshot, watch};

/// Pictures of one turn, about.
const BATCH: usize = 64;
/// Stretches of text that a client may be behind before writing waits for it.
const BEHIND: usize = 64;

/// A picture that is wanted.
#[derive(Debug, Clone)]
pub struct Wish {
    /// What it is made from, as [`Sampler::z`] gives it: a point of the model's latent space, or noise where it has none.
    pub z: Vec<f32>,
    /// The class; ignored by a model without classes.
    pub class: usize,
}

/// A part of what a model writes.
#[derive(Debug)]
pub enum Part {
    /// The next stretch of piece number `choice`.
    Text {
        /// Number of the piece.
        choice: usize,
        /// Never empty.
        text: String,
    },
    /// Piece number `choice` has ended.
    End {
        /// Number of the piece.
        choice: usize,
        /// Why.
        finish: Finish,
        /// Tokens it has.
        tokens: usize,
    },
    /// Nothing more will come.
    Failed(Problem),
}

struct Waiting {
    painter: Arc<Painter>,
    wishes: Vec<Wish>,
    reply: oneshot::Sender<Vec<Picture>>,
}

/// Where requests are admitted and take turns.
pub struct Work {
    /// Requests that are admitted, at most.
    capacity: usize,
    places: Arc<Semaphore>,
    /// One permit, given in the order of asking.
    turn: Arc<Semaphore>,
    waiting: Arc<Mutex<Vec<Waiting>>>,
    /// A desk for each model that writes.
    desks: Arc<Mutex<Vec<Desk>>>,
    computer: Computer,
    /// Is the server asked to stop?
    end: watch::Sender<bool>,
    metrics: Arc<Metrics>,
}

/// The thread that computes batches. Kernels keep their buffers on the thread that they run on: so there is one set of them,
/// however many requests are in work.
struct Computer(Sender<Box<dyn FnOnce() + Send>>);

impl Computer {
    fn start() -> Self {
        let (sender, tasks) = std::sync::mpsc::channel::<Box<dyn FnOnce() + Send>>();
        std::thread::spawn(move || {
            for task in tasks {
                // Who asked for it hears nothing, and knows by that.
                let _ = catch_unwind(AssertUnwindSafe(task));
            }
        });
        Self(sender)
    }

    /// What `f` computes; nothing if it fell over.
    fn ask<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> oneshot::Receiver<T> {
        let (reply, answer) = oneshot::channel();
        let task = move || {
            // Its client may have left meanwhile.
            let _ = reply.send(f());
        };
        // The thread ends with this sender.
        let _ = self.0.send(Box::new(task));
        answer
    }
}

impl Work {
    /// Admits `capacity` requests at a time.
    pub fn new(capacity: usize, metrics: Arc<Metrics>) -> Self {
        let (places, turn) = (Arc::new(Semaphore::new(capacity)), Arc::new(Semaphore::new(1)));
        let (computer, end) = (Computer::start(), watch::Sender::new(false));
        Self { capacity, places, turn, waiting: Arc::default(), desks: Arc::default(), computer, end, metrics }
    }

    /// A place for one request, held until it is dropped.
    ///
    /// # Errors
    /// There is none free, or the server is stopping.
    pub fn admit(&self) -> Answer<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().map_err(|error| match error {
            TryAcquireError::NoPermits => {
                self.metrics.refused.inc();
                Problem::busy(self.capacity)
            }
            TryAcquireError::Closed => Problem::stopping(),
        })
    }

    /// Requests in work.
    pub fn running(&self) -> usize {
        self.capacity - self.places.available_permits()
    }

    /// Admits nobody any more.
    pub fn close(&self) {
        self.places.close();
        self.end.send_replace(true);
    }

    /// Ends when the server is asked to stop.
    pub async fn stopping(&self) {
        // The sender is ours: it cannot be gone.
        let _ = self.end.subscribe().wait_for(|ends| *ends).await;
    }

    /// Gives up what is in work: nothing computes any more.
    pub fn abandon(&self) {
        self.turn.close();
    }

    /// Is it closed?
    pub fn closed(&self) -> bool {
        self.places.is_closed()
    }

    /// One picture a wish.
    ///
    /// A model with a latent space makes a batch in one turn. One without may take many steps: it lets others have a turn between
    /// them, and makes one batch at a time; what comes meanwhile is its next batch.
    ///
    /// # Errors
    /// The server is stopping, or a bug.
    pub async fn pictures(&self, painter: Arc<Painter>, wishes: Vec<Wish>) -> Answer<Vec<Picture>> {
        let asked = Instant::now();
        let (reply, mut answer) = oneshot::channel();
        lock(&self.waiting).push(Waiting { painter: Arc::clone(&painter), wishes, reply });
        let in_one_turn = painter.sampler.has_latent();
        let queue = if in_one_turn { &self.turn } else { &painter.easel };
        loop {
            let permit = tokio::select! {
                biased;
                // Another request of the same model had its turn and took this one along.
                made = &mut answer => return made.map_err(|_| Problem::bug()),
                permit = Arc::clone(queue).acquire_owned() => permit.map_err(|_| Problem::stopping())?,
            };
            let (waiting, metrics, own) = (Arc::clone(&self.waiting), Arc::clone(&self.metrics), Arc::clone(&painter));
            let make = move |give_way: &dyn Fn()| {
                let _permit = permit;
                metrics.queue.observe(asked.elapsed().as_secs_f64());
                let batch = take(&mut lock(&waiting), &own);
                metrics.batch.observe(batch.iter().map(|waiting| waiting.wishes.len()).sum::<usize>() as f64);
                paint(&own.sampler, batch, give_way);
            };
            // A batch may have been full before it came to this request: then there is another turn. If the batch fell over, so
            // did the sender of an answer in it.
            if in_one_turn {
                let _ = self.computer.ask(move || make(&|| ())).await;
            } else {
                let _ = self.turns(make).await;
            }
        }
    }

    /// Computes in one turn.
    ///
    /// # Errors
    /// The server is stopping, or a bug.
    pub async fn turn<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> Answer<T> {
        let permit = Arc::clone(&self.turn).acquire_owned().await.map_err(|_| Problem::stopping())?;
        let computed = self.computer.ask(move || {
            let _turn = permit;
            f()
        });
        computed.await.map_err(|_| Problem::bug())
    }

    /// Computes in many turns: `f` is given a function that ends one and waits for the next.
    ///
    /// # Errors
    /// A bug.
    pub async fn turns<T: Send + 'static>(&self, f: impl FnOnce(&dyn Fn()) -> T + Send + 'static) -> Answer<T> {
        let turn = self.turn_giver();
        let computed = tokio::task::spawn_blocking(move || {
            // Where the server is stopping there are no turns any more: what was begun is finished without.
            let own = RefCell::new(turn().ok());
            f(&|| {
                own.take();
                own.replace(turn().ok());
            })
        });
        computed.await.map_err(|_| Problem::bug())
    }

    /// Waits for a turn on a thread that may block.
    fn turn_giver(&self) -> impl Fn() -> Result<OwnedSemaphorePermit, AcquireError> + Send + 'static {
        let (turn, handle) = (Arc::clone(&self.turn), Handle::current());
        move || handle.block_on(Arc::clone(&turn).acquire_owned())
    }

    /// Begins to write the `pieces` of a request behind its `prompt`, whose [tokens](Author::tokens) these are, together with all
    /// that is being written by the same model. Writing stops when the receiver is dropped.
    pub fn text(
        &self,
        author: Arc<Author>,
        prompt: Vec<u32>,
        request: recipe::Request,
        pieces: Range<u64>,
    ) -> mpsc::Receiver<Part> {
        let (parts, receiver) = mpsc::channel(BEHIND);
        let order = Order { prompt, request, pieces, parts };
        let mut desks = lock(&self.desks);
        match desks.iter_mut().find(|desk| Arc::ptr_eq(&desk.author, &author)) {
            Some(desk) => desk.orders.push(order),
            None => {
                desks.push(Desk { author: Arc::clone(&author), orders: vec![order] });
                let (desks, turn) = (Arc::clone(&self.desks), self.turn_giver());
                tokio::task::spawn_blocking(move || {
                    scribe::write(&AtDesk { desks, author, gone: Cell::new(false) }, &turn)
                });
            }
        }
        receiver
    }
}

/// A request for text that nobody works on yet.
struct Order {
    /// The tokens of the request's prompt.
    prompt: Vec<u32>,
    request: recipe::Request,
    pieces: Range<u64>,
    parts: mpsc::Sender<Part>,
}

/// A model that is writing, and what it has not begun yet.
struct Desk {
    author: Arc<Author>,
    orders: Vec<Order>,
}

/// A desk at which somebody writes. Whoever leaves it, whatever the reason, takes it away: the next order gets another.
struct AtDesk {
    desks: Arc<Mutex<Vec<Desk>>>,
    author: Arc<Author>,
    /// Was it taken away? What stands there by now is somebody else's.
    gone: Cell<bool>,
}

impl AtDesk {
    /// New orders. Where there are none and `done`, the desk is gone.
    fn orders(&self, done: bool) -> Vec<Order> {
        let mut desks = lock(&self.desks);
        let Some(i) = desks.iter().position(|desk| Arc::ptr_eq(&desk.author, &self.author)) else { return Vec::new() };
        let orders = std::mem::take(&mut desks[i].orders);
        if orders.is_empty() && done {
            desks.swap_remove(i);
            self.gone.set(true);
        }
        orders
    }
}

impl Drop for AtDesk {
    fn drop(&mut self) {
        if !self.gone.get() {
            lock(&self.desks).retain(|desk| !Arc::ptr_eq(&desk.author, &self.author));
        }
    }
}

/// What waits for `painter`, in order, up to about [`BATCH`] pictures.
fn take(waiting: &mut Vec<Waiting>, painter: &Arc<Painter>) -> Vec<Waiting> {
    waiting.retain(|one| !one.reply.is_closed());
    let mut count = 0;
    waiting
        .extract_if(.., |one| {
            let own = Arc::ptr_eq(&one.painter, painter) && count < BATCH;
            count += if own { one.wishes.len() } else { 0 };
            own
        })
        .collect()
}

/// Makes the pictures of a batch; `give_way` ends a turn and waits for the next.
fn paint(sampler: &Sampler, batch: Vec<Waiting>, give_way: &dyn Fn()) {
    let wishes = batch.iter().flat_map(|one| &one.wishes);
    let (z, classes): (Vec<_>, Vec<_>) = wishes.map(|wish| (wish.z.clone(), wish.class)).unzip();
    let pictures = match sampler.has_latent() {
        true => sampler.decoded(&z, &classes),
        false => sampler.pictures_in_turns(&z, &classes, give_way),
    };
    let mut pictures = pictures.into_iter();
    for one in batch {
        // Its client may have left meanwhile.
        let _ = one.reply.send(pictures.by_ref().take(one.wishes.len()).collect());
    }
}
