//! How models compute for many clients at once.
//!
//! One rule shares the processor: everything that computes takes a turn, in the order in which it asked for one. A turn is one
//! batch of pictures or 40 ms of writing; kernels use all cores inside it. Requests for pictures of one model that wait at
//! the same time are computed in one batch. A client that has left is not computed for.

use crate::lock;
use crate::metrics::Metrics;
use crate::problem::{Answer, Problem};
use crate::shelf::Model;
use maliang::generate::picture::Picture;
use maliang::generate::text::{Finish, Request};
use std::cell::RefCell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc, oneshot, watch};

/// Pictures of one turn, about.
const BATCH: usize = 64;
/// Writing of one turn.
const SLICE: Duration = Duration::from_millis(40);
/// Stretches of text that a client may be behind before writing waits for it.
const BEHIND: usize = 64;

/// A picture that is wanted.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The point of the model's latent space.
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
    model: Arc<Model>,
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
        Self { capacity, places, turn, waiting: Arc::default(), computer, end, metrics }
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
    /// # Errors
    /// A bug.
    pub async fn pictures(&self, model: Arc<Model>, wishes: Vec<Wish>) -> Answer<Vec<Picture>> {
        let asked = Instant::now();
        let (reply, mut answer) = oneshot::channel();
        lock(&self.waiting).push(Waiting { model: Arc::clone(&model), wishes, reply });
        loop {
            let permit = tokio::select! {
                biased;
                // Another request of the same model had its turn and took this one along.
                made = &mut answer => return made.map_err(|_| Problem::bug()),
                permit = Arc::clone(&self.turn).acquire_owned() => permit.map_err(|_| Problem::stopping())?,
            };
            self.metrics.queue.observe(asked.elapsed().as_secs_f64());
            let (waiting, metrics, model) = (Arc::clone(&self.waiting), Arc::clone(&self.metrics), Arc::clone(&model));
            let turn = self.computer.ask(move || {
                let _turn = permit;
                let batch = take(&mut lock(&waiting), &model);
                metrics.batch.observe(batch.iter().map(|waiting| waiting.wishes.len()).sum::<usize>() as f64);
                compute(&model, batch);
            });
            // A batch may have been full before it came to this request: then there is another turn. If the batch fell over, so
            // did the sender of an answer in it.
            let _ = turn.await;
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

    /// Begins to write the `pieces` of a request. Writing stops when the receiver is dropped.
    pub fn text(&self, model: Arc<Model>, request: Request, pieces: Range<u64>) -> mpsc::Receiver<Part> {
        let (parts, receiver) = mpsc::channel(BEHIND);
        let turn = self.turn_giver();
        tokio::task::spawn_blocking(move || {
            // A receiver that is gone wants to know nothing.
            if let Err(problem) = write(&model, &request, pieces, &turn, &parts) {
                let _ = parts.blocking_send(Part::Failed(problem));
            }
        });
        receiver
    }
}

/// What waits for `model`, in order, up to about [`BATCH`] pictures.
fn take(waiting: &mut Vec<Waiting>, model: &Arc<Model>) -> Vec<Waiting> {
    waiting.retain(|one| !one.reply.is_closed());
    let mut count = 0;
    waiting
        .extract_if(.., |one| {
            let own = Arc::ptr_eq(&one.model, model) && count < BATCH;
            count += if own { one.wishes.len() } else { 0 };
            own
        })
        .collect()
}

fn compute(model: &Model, batch: Vec<Waiting>) {
    let Model::Pictures(painter) = model else { return };
    let sampler = &painter.sampler;
    let wishes = batch.iter().flat_map(|one| &one.wishes);
    let (z, classes): (Vec<_>, Vec<_>) = wishes.map(|wish| (wish.z.clone(), wish.class)).unzip();
    let mut pictures = sampler.decoded(&z, &classes).into_iter();
    for one in batch {
        // Its client may have left meanwhile.
        let _ = one.reply.send(pictures.by_ref().take(one.wishes.len()).collect());
    }
}

/// Writes `pieces`, a slice of each in turn.
fn write<E>(
    model: &Model,
    request: &Request,
    pieces: Range<u64>,
    turn: &dyn Fn() -> Result<OwnedSemaphorePermit, E>,
    parts: &mpsc::Sender<Part>,
) -> Answer<()> {
    let Model::Text(author) = model else { return Err(Problem::bug()) };
    let begun: maliang::Result<Vec<_>> = pieces.map(|i| author.begin(request, i)).collect();
    let mut pieces: Vec<_> = begun.map_err(|error| Problem::of(error, "prompt"))?.into_iter().enumerate().collect();
    let mut first = true;
    while !pieces.is_empty() {
        let mut ended = Vec::new();
        for (choice, piece) in &mut pieces {
            let choice = *choice;
            let permit = turn().map_err(|_| Problem::stopping())?;
            let began = Instant::now();
            let mut text = String::new();
            let mut more = true;
            // The first stretch goes out at once: it is what a reader waits for.
            while more && (text.is_empty() || (!first && began.elapsed() < SLICE)) {
                match piece.next()? {
                    Some(next) => text += &next,
                    None => more = false,
                }
            }
            drop(permit);
            if !text.is_empty() && parts.blocking_send(Part::Text { choice, text }).is_err() {
                return Ok(());
            }
            if let (false, Some(finish)) = (more, piece.finish()) {
                let end = Part::End { choice, finish: finish.clone(), tokens: piece.tokens() };
                if parts.blocking_send(end).is_err() {
                    return Ok(());
                }
                ended.push(choice);
            }
            if parts.is_closed() {
                return Ok(());
            }
        }
        first = false;
        pieces.retain(|(choice, _)| !ended.contains(choice));
    }
    Ok(())
}
