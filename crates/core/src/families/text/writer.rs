//! Writing: one token after another, each costing one pass over the weights instead of one over all that was written.

use super::gpt::{EPSILON, Gpt};
use super::lstm::Lstm;
use super::{GptConfig, TextModel};
use crate::nn::{Linear, Param, host};
use maliang_kernels::text::{Rotary, among_workers, step, step::Matrix};
use std::sync::Arc;

/// A model in the middle of a text. Clones go on from the same place and share the weights.
///
/// A GPT sees at most its context. When that is full, the older part is forgotten: the newest half of the context (rounded
/// down) is read again as if the text began there, and the writing goes on after it. A recurrent network has no limit.
///
/// The logits are those of the training pass up to rounding, whatever the number of threads.
#[derive(Debug, Clone)]
pub struct Writer {
    state: State,
    logits: Vec<f32>,
}

#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "one state is held at a time, never a list of them")]
enum State {
    Gpt(GptState),
    Lstm(LstmState),
}

impl Writer {
    pub(super) fn new(model: &TextModel) -> Self {
        let (state, vocabulary) = match model {
            TextModel::Gpt(gpt) => (State::Gpt(GptState::new(gpt)), gpt.config().vocabulary),
            TextModel::Lstm(lstm) => (State::Lstm(LstmState::new(lstm)), lstm.config().vocabulary),
        };
        Self { state, logits: vec![0.0; vocabulary] }
    }

    /// Reads one token; the logits of the token after it.
    ///
    /// # Panics
    /// If the token is beyond the vocabulary.
    pub fn push(&mut self, token: u32) -> &[f32] {
        self.prefill(&[token])
    }

    /// Reads several tokens at once, as [`push`](Self::push) one after another but faster; the logits of the token after the
    /// last. Without tokens, the logits of before; zeros at the very start.
    ///
    /// # Panics
    /// If a token is beyond the vocabulary.
    pub fn prefill(&mut self, tokens: &[u32]) -> &[f32] {
        if !tokens.is_empty() {
            let Self { state, logits } = self;
            among_workers(|| match state {
                State::Gpt(gpt) => gpt.read(tokens, logits),
                State::Lstm(lstm) => lstm.read(tokens, logits),
            });
        }
        &self.logits
    }

    /// Has each of several writers read a token of its own, as [`push`](Self::push) of each, to the last bit; those of one model read
    /// its weights together. The logits are in [`logits`](Self::logits).
    ///
    /// # Panics
    /// If a token is beyond the vocabulary, or there are not as many tokens as writers.
    pub fn push_each(writers: &mut [&mut Self], tokens: &[u32]) {
        assert_eq!(writers.len(), tokens.len(), "a token each");
        let (mut gpts, mut lstms) = (Vec::new(), Vec::new());
        for (Self { state, logits }, &token) in writers.iter_mut().map(|writer| &mut **writer).zip(tokens) {
            match state {
                State::Gpt(gpt) => gpts.push((gpt, token, logits)),
                State::Lstm(lstm) => lstms.push((lstm, token, logits)),
            }
        }
        among_workers(|| {
            GptState::read_each(gpts);
            LstmState::read_each(lstms);
        });
    }

    /// The logits of the token after the last one that was read.
    pub fn logits(&self) -> &[f32] {
        &self.logits
    }

    /// Forgets everything read.
    pub fn reset(&mut self) {
        self.logits.fill(0.0);
        match &mut self.state {
            State::Gpt(gpt) => gpt.seen.clear(),
            State::Lstm(lstm) => lstm.states.iter_mut().for_each(|state| state.fill(0.0)),
        }
    }
}

fn packed(linear: &Linear) -> Matrix {
    let [n_in, n_out] = linear.weight().dims();
    Matrix::new(&host(linear.weight()), n_in, n_out)
}

/// The rows of the embedding, and the head that they are the columns of.
#[derive(Debug)]
struct Table {
    rows: Vec<f32>,
    head: Matrix,
}

impl Table {
    fn new(table: &Param) -> Self {
        let (rows, shape) = (host(table.flat()), table.shape());
        Self { head: Matrix::transposed(&rows, shape[1], shape[0]), rows }
    }

    fn row(&self, token: u32) -> &[f32] {
        let (width, token) = (self.head.n_in(), token as usize);
        assert!(token < self.head.n_out(), "token {token} of a vocabulary of {}", self.head.n_out());
        &self.rows[token * width..][..width]
    }
}

#[derive(Debug)]
struct GptWeights {
    config: GptConfig,
    table: Table,
    blocks: Vec<BlockWeights>,
    norm: Vec<f32>,
    rotary: Arc<Rotary>,
}

impl GptWeights {
    /// Takes `rows` through all blocks. `times` multiplies them by a weight; `attend` makes of their queries, keys and values in the
    /// block of that number what they attend to.
    fn pass(
        &self,
        rows: &mut Rows,
        times: impl Fn(&Matrix, &[f32], &mut [f32]),
        mut attend: impl FnMut(usize, &mut Rows),
    ) {
        let hidden = self.config.hidden();
        for (i, block) in self.blocks.iter().enumerate() {
            norm_rows(&rows.x, &block.norm_attention, &mut rows.normal);
            times(&block.qkv, &rows.normal, &mut rows.qkv);
            attend(i, rows);
            times(&block.attention_out, &rows.attended, &mut rows.added);
            add(&mut rows.x, &rows.added);
            norm_rows(&rows.x, &block.norm_feed, &mut rows.normal);
            times(&block.up, &rows.normal, &mut rows.up);
            for (up, gated) in rows.up.chunks_exact(2 * hidden).zip(rows.gated.chunks_exact_mut(hidden)) {
                step::swiglu(up, gated);
            }
            times(&block.down, &rows.gated, &mut rows.added);
            add(&mut rows.x, &rows.added);
        }
    }
}

#[derive(Debug)]
struct BlockWeights {
    norm_attention: Vec<f32>,
    qkv: Matrix,
    attention_out: Matrix,
    norm_feed: Vec<f32>,
    up: Matrix,
    down: Matrix,
}

/// The tokens that are seen, and what each block knows of them.
#[derive(Debug, Clone)]
struct GptState {
    weights: Arc<GptWeights>,
    seen: Vec<u32>,
    /// Keys, turned by their positions, and values: each `[layers, heads, context, head width]`.
    keys: Vec<f32>,
    values: Vec<f32>,
    rows: Rows,
}

/// The activations of the rows that are being read.
#[derive(Debug, Clone, Default)]
struct Rows {
    x: Vec<f32>,
    normal: Vec<f32>,
    qkv: Vec<f32>,
    attended: Vec<f32>,
    up: Vec<f32>,
    gated: Vec<f32>,
    added: Vec<f32>,
    query: Vec<f32>,
    scores: Vec<f32>,
}

impl GptState {
    fn new(gpt: &Gpt) -> Self {
        let config = gpt.config().clone();
        let values = |param: &Param| host(param.flat());
        let blocks = gpt.blocks.iter().map(|block| BlockWeights {
            norm_attention: values(&block.norm_attention),
            qkv: packed(&block.qkv),
            attention_out: packed(&block.attention_out),
            norm_feed: values(&block.norm_feed),
            up: packed(&block.up),
            down: packed(&block.down),
        });
        let cache = config.layers * config.context * config.width;
        let weights = GptWeights {
            table: Table::new(&gpt.table),
            blocks: blocks.collect(),
            norm: values(&gpt.norm),
            rotary: gpt.rotary.clone(),
            config,
        };
        let (keys, values) = (vec![0.0; cache], vec![0.0; cache]);
        Self { weights: Arc::new(weights), seen: Vec::new(), keys, values, rows: Rows::default() }
    }

    /// One token each. Writers of other weights than the first one's, and those whose context is full, read by themselves.
    fn read_each(writers: Vec<(&mut Self, u32, &mut Vec<f32>)>) {
        let Some(weights) = writers.first().map(|(first, ..)| first.weights.clone()) else { return };
        let mut together = Vec::new();
        for (state, token, logits) in writers {
            if Arc::ptr_eq(&state.weights, &weights) && state.seen.len() < weights.config.context {
                state.seen.push(token);
                together.push((state, logits));
            } else {
                state.read(&[token], logits);
            }
        }
        let GptConfig { width, vocabulary, context, .. } = weights.config;
        let mut rows = Rows::default();
        rows.resize(&weights.config, together.len());
        for (x, (state, _)) in rows.x.chunks_exact_mut(width).zip(&together) {
            x.copy_from_slice(weights.table.row(state.seen[state.seen.len() - 1]));
        }
        weights.pass(&mut rows, Matrix::times_each, |block, rows| {
            let cache = block * context * width..(block + 1) * context * width;
            let parts = rows.qkv.chunks_exact(3 * width).zip(rows.attended.chunks_exact_mut(width));
            for ((qkv, attended), (state, _)) in parts.zip(&mut together) {
                let (keys, values) = (&mut state.keys[cache.clone()], &mut state.values[cache.clone()]);
                let position = state.seen.len() - 1;
                attend(&weights, position, qkv, attended, [keys, values], &mut rows.query, &mut rows.scores);
            }
        });
        norm_rows(&rows.x, &weights.norm, &mut rows.normal);
        let mut all = vec![0.0; together.len() * vocabulary];
        weights.table.head.times_each(&rows.normal, &mut all);
        for ((_, logits), own) in together.into_iter().zip(all.chunks_exact(vocabulary)) {
            logits.copy_from_slice(own);
        }
    }

    fn read(&mut self, tokens: &[u32], logits: &mut [f32]) {
        let context = self.weights.config.context;
        let known = self.seen.len();
        self.seen.extend_from_slice(tokens);
        // The length that reading one after another would leave.
        let length =
            tokens.iter().fold(known, |length, _| if length == context { context / 2 + 1 } else { length + 1 });
        let slid = length < self.seen.len();
        self.seen.drain(..self.seen.len() - length);
        self.append(if slid { 0 } else { known }, logits);
    }

    /// Reads what was seen from position `first` on.
    fn append(&mut self, first: usize, logits: &mut [f32]) {
        let weights = self.weights.clone();
        let GptConfig { width, context, .. } = weights.config;
        let (count, rows) = (self.seen.len() - first, &mut self.rows);
        rows.resize(&weights.config, count);
        for (x, &token) in rows.x.chunks_exact_mut(width).zip(&self.seen[first..]) {
            x.copy_from_slice(weights.table.row(token));
        }
        let (keys, values) = (&mut self.keys, &mut self.values);
        weights.pass(rows, Matrix::times, |block, rows| {
            let cache = block * context * width..(block + 1) * context * width;
            rows.attend(&weights, first, &mut keys[cache.clone()], &mut values[cache]);
        });
        let last = &mut rows.normal[..width];
        step::rms_norm(&rows.x[(count - 1) * width..], &weights.norm, EPSILON, last);
        weights.table.head.times(last, logits);
    }
}

impl Rows {
    fn resize(&mut self, config: &GptConfig, count: usize) {
        let (width, hidden) = (config.width, config.hidden());
        for rows in [&mut self.x, &mut self.normal, &mut self.attended, &mut self.added] {
            rows.resize(count * width, 0.0);
        }
        self.qkv.resize(count * 3 * width, 0.0);
        self.up.resize(count * 2 * hidden, 0.0);
        self.gated.resize(count * hidden, 0.0);
        self.query.resize(width / config.heads, 0.0);
        self.scores.resize(config.context, 0.0);
    }

    /// Adds the keys and values of the rows, at positions from `first` on, to the block's `[heads, context, head width]`, and has
    /// each row attend to all positions up to its own.
    fn attend(&mut self, weights: &GptWeights, first: usize, keys: &mut [f32], values: &mut [f32]) {
        let width = weights.config.width;
        let rows = self.qkv.chunks_exact(3 * width).zip(self.attended.chunks_exact_mut(width));
        for (i, (qkv, attended)) in rows.enumerate() {
            attend(weights, first + i, qkv, attended, [keys, values], &mut self.query, &mut self.scores);
        }
    }
}

/// Adds the keys and values of one row to a block's cache, and has the row attend to all positions up to its own.
fn attend(
    weights: &GptWeights,
    position: usize,
    qkv: &[f32],
    attended: &mut [f32],
    [keys, values]: [&mut [f32]; 2],
    query: &mut [f32],
    scores: &mut [f32],
) {
    let GptConfig { context, heads, width, .. } = weights.config;
    let head = width / heads;
    let scale = 1.0 / (head as f32).sqrt();
    for (h, y) in attended.chunks_exact_mut(head).enumerate() {
        let part = |part: usize| &qkv[part * width + h * head..][..head];
        let (keys, values) = (&mut keys[h * context * head..], &mut values[h * context * head..]);
        weights.rotary.turn(position, scale, part(0), query);
        weights.rotary.turn(position, 1.0, part(1), &mut keys[position * head..][..head]);
        values[position * head..][..head].copy_from_slice(part(2));
        step::attend(query, keys, values, &mut scores[..=position], y);
    }
}

fn norm_rows(x: &[f32], gamma: &[f32], y: &mut [f32]) {
    for (x, y) in x.chunks_exact(gamma.len()).zip(y.chunks_exact_mut(gamma.len())) {
        step::rms_norm(x, gamma, EPSILON, y);
    }
}

fn add(x: &mut [f32], more: &[f32]) {
    x.iter_mut().zip(more).for_each(|(x, more)| *x += more);
}

#[derive(Debug)]
struct LstmWeights {
    table: Table,
    layers: Vec<LayerWeights>,
}

#[derive(Debug)]
struct LayerWeights {
    input: Matrix,
    bias: Vec<f32>,
    recurrent: Matrix,
}

/// h and c of each layer.
#[derive(Debug, Clone)]
struct LstmState {
    weights: Arc<LstmWeights>,
    /// `[2 · layers]`: h of the first layer, its c, h of the second, …
    states: Vec<Vec<f32>>,
    sums: Vec<f32>,
    recurrent: Vec<f32>,
}

impl LstmState {
    fn new(lstm: &Lstm) -> Self {
        let width = lstm.config().width;
        let layers = lstm.layers.iter().map(|layer| LayerWeights {
            input: packed(&layer.input),
            bias: host(layer.bias.flat()),
            recurrent: packed(&layer.recurrent),
        });
        let weights = LstmWeights { table: Table::new(&lstm.table), layers: layers.collect() };
        Self {
            states: vec![vec![0.0; width]; 2 * weights.layers.len()],
            weights: Arc::new(weights),
            sums: vec![0.0; 4 * width],
            recurrent: vec![0.0; 4 * width],
        }
    }

    fn read(&mut self, tokens: &[u32], logits: &mut [f32]) {
        let weights = self.weights.clone();
        for &token in tokens {
            let mut below = weights.table.row(token);
            for (layer, states) in weights.layers.iter().zip(self.states.chunks_exact_mut(2)) {
                let [h, c] = states else { unreachable!("chunks of two") };
                layer.input.times(below, &mut self.sums);
                layer.recurrent.times(h, &mut self.recurrent);
                add(&mut self.sums, &self.recurrent);
                step::lstm_cell(&mut self.sums, &layer.bias, c, h);
                below = h;
            }
        }
        let top = &self.states[self.states.len() - 2];
        weights.table.head.times(top, logits);
    }

    /// One token each; writers of other weights than the first one's read by themselves.
    fn read_each(writers: Vec<(&mut Self, u32, &mut Vec<f32>)>) {
        let Some(weights) = writers.first().map(|(first, ..)| first.weights.clone()) else { return };
        let mut together = Vec::new();
        for (state, token, logits) in writers {
            if Arc::ptr_eq(&state.weights, &weights) {
                together.push((state, token, logits));
            } else {
                state.read(&[token], logits);
            }
        }
        let mut below: Vec<f32> =
            together.iter().flat_map(|(_, token, _)| weights.table.row(*token)).copied().collect();
        for (i, layer) in weights.layers.iter().enumerate() {
            let h: Vec<f32> = together.iter().flat_map(|(state, ..)| &state.states[2 * i]).copied().collect();
            let mut sums = vec![0.0; together.len() * layer.input.n_out()];
            let mut recurrent = sums.clone();
            layer.input.times_each(&below, &mut sums);
            layer.recurrent.times_each(&h, &mut recurrent);
            add(&mut sums, &recurrent);
            below.clear();
            for ((state, ..), sums) in together.iter_mut().zip(sums.chunks_exact_mut(layer.input.n_out())) {
                let [h, c] = &mut state.states[2 * i..][..2] else { unreachable!("two states a layer") };
                step::lstm_cell(sums, &layer.bias, c, h);
                below.extend_from_slice(h);
            }
        }
        let vocabulary = weights.table.head.n_out();
        let mut all = vec![0.0; together.len() * vocabulary];
        weights.table.head.times_each(&below, &mut all);
        for ((.., logits), own) in together.into_iter().zip(all.chunks_exact(vocabulary)) {
            logits.copy_from_slice(own);
        }
    }
}
