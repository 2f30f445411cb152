//! Writing for many clients at once: all pieces of one model go on together, a token each.

use super::{AtDesk, Order, Part};
use crate::problem::{Answer, Problem};
use maliang::generate::text::Generation;
use maliang::generate::writer::{Author, Piece};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

/// Writing of one turn.
const SLICE: Duration = Duration::from_millis(40);
/// Where all readers are behind, they are waited for this long.
const PAUSE: Duration = Duration::from_millis(5);

/// A piece in the making.
struct Sheet<'a> {
    piece: Piece<'a>,
    choice: usize,
    parts: Sender<Part>,
    /// What is written and was not sent yet.
    text: String,
    /// Was anything sent?
    begun: bool,
    left: bool,
}

impl Sheet<'_> {
    /// Is it worth a token more? A reader who is behind is waited for.
    fn goes_on(&self) -> bool {
        !self.left && self.piece.finish().is_none() && self.parts.capacity() > 0
    }

    /// Sends what there is, as far as the reader takes it. One that has ended and was read to the end is left.
    fn send(&mut self) {
        if !self.text.is_empty() {
            let part = Part::Text { choice: self.choice, text: std::mem::take(&mut self.text) };
            match self.parts.try_send(part) {
                Ok(()) => self.begun = true,
                Err(TrySendError::Full(Part::Text { text, .. })) => self.text = text,
                Err(_) => self.left = true,
            }
        }
        if let (true, Some(finish)) = (self.text.is_empty() && !self.left, self.piece.finish()) {
            let part = Part::End { choice: self.choice, finish: finish.clone(), tokens: self.piece.tokens() };
            self.left = !matches!(self.parts.try_send(part), Err(TrySendError::Full(_)));
        }
        self.left |= self.parts.is_closed();
    }
}

/// Writes what is ordered at a desk until nothing is left. `turn` waits for a turn; where there are none any more the server is
/// stopping.
pub(super) fn write<P, E>(desk: &AtDesk, turn: &dyn Fn() -> Result<P, E>) {
    let author = &*desk.author;
    let mut sheets: Vec<Sheet<'_>> = Vec::new();
    loop {
        for order in desk.orders(sheets.is_empty()) {
            match begin(author, &order) {
                Ok(begun) => sheets.extend(begun),
                // A receiver that is gone wants to know nothing.
                Err(problem) => drop(order.parts.try_send(Part::Failed(problem))),
            }
        }
        if sheets.is_empty() {
            return;
        }
        if !sheets.iter().any(Sheet::goes_on) {
            std::thread::sleep(PAUSE);
            sheets.iter_mut().for_each(Sheet::send);
            sheets.retain(|sheet| !sheet.left);
            continue;
        }
        let Ok(permit) = turn() else {
            for sheet in sheets {
                let _ = sheet.parts.try_send(Part::Failed(Problem::stopping()));
            }
            return;
        };
        let began = Instant::now();
        while began.elapsed() < SLICE && step(&mut sheets) {}
        drop(permit);
        sheets.iter_mut().for_each(Sheet::send);
        sheets.retain(|sheet| !sheet.left);
    }
}

fn begin<'a>(author: &'a Author, order: &Order) -> Answer<Vec<Sheet<'a>>> {
    let sheet = |(choice, index)| {
        let piece = author.begin_with(&order.prompt, &order.request, index)?;
        Ok(Sheet { piece, choice, parts: order.parts.clone(), text: String::new(), begun: false, left: false })
    };
    order.pieces.clone().enumerate().map(sheet).collect()
}

/// A token more of every piece that goes on; whether there was one.
fn step(sheets: &mut [Sheet<'_>]) -> bool {
    let mut going: Vec<&mut Sheet<'_>> = sheets.iter_mut().filter(|sheet| sheet.goes_on()).collect();
    let mut pieces: Vec<_> = going.iter_mut().map(|sheet| &mut sheet.piece).collect();
    if pieces.is_empty() {
        return false;
    }
    let texts = Generation::step_each(&mut pieces);
    for (sheet, text) in going.into_iter().zip(texts) {
        match text {
            Ok(text) => {
                sheet.text += &text;
                // The first stretch goes out at once: it is what a reader waits for.
                if !sheet.begun {
                    sheet.send();
                }
            }
            Err(error) => {
                let _ = sheet.parts.try_send(Part::Failed(error.into()));
                sheet.left = true;
            }
        }
    }
    true
}
