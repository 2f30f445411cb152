//! Work of a training step that need not be done twice: results of operations on the very same tensors, and transformed
//! filters of weights that several operations share.
//!
//! Tensors are told apart by their memory. That is sound because everything that is remembered holds a handle of its
//! tensors: while it does, their memory can neither be freed nor changed in place.

use crate::activation::Activation;
use crate::gemm::Packed;
use crate::options::{Conv2dOptions, DepthwiseOptions};
use crate::resize::Filter;
use crate::simd::{Scratch, with_scratch};
use burn_flex::FlexTensor;
use std::any::TypeId;
use std::cell::RefCell;
use std::rc::Rc;

/// What one training step remembers, on the thread that computes it. Drop it before weights are changed: tensors that it
/// holds are copied instead of being changed in place.
///
/// Only the CPU kernels take part. Elsewhere, and where nothing is remembered, everything is computed as usual, with the same
/// results.
#[derive(Debug, Default)]
pub struct Reuse {
    remembered: Rc<RefCell<Remembered>>,
}

#[derive(Debug, Default)]
struct Remembered {
    outputs: Vec<Output>,
    /// Contiguous weights of convolutions.
    weights: Vec<FlexTensor>,
    filters: Vec<(FilterKey, Scratch)>,
}

/// The outcome of an operation on these inputs.
#[derive(Debug)]
struct Output {
    operation: Operation,
    inputs: Vec<FlexTensor>,
    outputs: Vec<FlexTensor>,
}

/// An operation whose results can be remembered, with everything that they depend on besides tensors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Operation {
    /// With an activation where there is a bias.
    Conv2d(Conv2dOptions, Option<Activation>),
    Depthwise(DepthwiseOptions),
    BatchNorm(f32, Activation),
    Affine(Activation),
    Resize([usize; 2], Filter),
    AveragePool,
    Glu,
    Excite,
}

/// Address of the weights, number of the transform, and type of the packed elements.
type FilterKey = (usize, u32, TypeId);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    Remember,
    Share,
    Recall,
}

thread_local! {
    static ACTIVE: RefCell<Option<(Phase, Rc<RefCell<Remembered>>)>> = const { RefCell::new(None) };
}

impl Reuse {
    /// Runs `f` and remembers the results of its convolutions and batch norms, and its weights.
    pub fn remember<R>(&self, f: impl FnOnce() -> R) -> R {
        self.run(Phase::Remember, f)
    }

    /// Runs `f`, where filters of remembered weights are transformed once for all their uses: other forward passes of the same
    /// network, and its backward passes.
    pub fn share<R>(&self, f: impl FnOnce() -> R) -> R {
        self.run(Phase::Share, f)
    }

    /// Runs `f`, where each remembered operation on the same tensors gives its result without computing it again, once.
    pub fn recall<R>(&self, f: impl FnOnce() -> R) -> R {
        self.run(Phase::Recall, f)
    }

    fn run<R>(&self, phase: Phase, f: impl FnOnce() -> R) -> R {
        struct Restore(Option<(Phase, Rc<RefCell<Remembered>>)>);
        impl Drop for Restore {
            fn drop(&mut self) {
                ACTIVE.set(self.0.take());
            }
        }
        let _restore = Restore(ACTIVE.replace(Some((phase, self.remembered.clone()))));
        f()
    }
}

impl Drop for Reuse {
    fn drop(&mut self) {
        for (_, filters) in self.remembered.borrow_mut().filters.drain(..) {
            filters.give_back();
        }
    }
}

fn active() -> Option<(Phase, Rc<RefCell<Remembered>>)> {
    ACTIVE.with_borrow(Clone::clone)
}

fn same(a: &FlexTensor, b: &FlexTensor) -> bool {
    a.bytes().as_ptr() == b.bytes().as_ptr() && a.layout() == b.layout()
}

/// The outputs of `operation` on `inputs`: recalled, or computed and, where that is asked for, remembered.
pub(crate) fn outputs<const N: usize>(
    operation: Operation,
    inputs: &[&FlexTensor],
    compute: impl FnOnce() -> [FlexTensor; N],
) -> [FlexTensor; N] {
    let Some((phase, remembered)) = active() else { return compute() };
    match phase {
        Phase::Share => compute(),
        Phase::Remember => {
            let outputs = compute();
            let inputs = inputs.iter().map(|&input| input.clone()).collect();
            remembered.borrow_mut().outputs.push(Output { operation, inputs, outputs: outputs.to_vec() });
            outputs
        }
        Phase::Recall => {
            let mut remembered = remembered.borrow_mut();
            let found = remembered.outputs.iter().position(|known| {
                known.operation == operation
                    && known.inputs.len() == inputs.len()
                    && known.inputs.iter().zip(inputs).all(|(a, b)| same(a, b))
            });
            match found.map(|i| remembered.outputs.swap_remove(i).outputs.try_into()) {
                Some(Ok(outputs)) => outputs,
                _ => {
                    drop(remembered);
                    compute()
                }
            }
        }
    }
}

/// Notes the weights of a convolution, contiguous, where that is asked for.
pub(crate) fn note_weights(weights: &FlexTensor) {
    if let Some((Phase::Remember, remembered)) = active() {
        let mut remembered = remembered.borrow_mut();
        if !remembered.weights.iter().any(|known| same(known, weights)) {
            remembered.weights.push(weights.clone());
        }
    }
}

/// Lends `body` the `len` elements that `transform` number `number` makes of `weights`: kept where the weights are remembered,
/// in scratch memory elsewhere.
pub(crate) fn with_filters<T: Packed, R>(
    weights: &[f32],
    number: u32,
    len: usize,
    transform: impl FnOnce(&mut [T]),
    body: impl FnOnce(&[T]) -> R,
) -> R {
    let address = weights.as_ptr();
    let known = active().map(|(_, remembered)| remembered).filter(|remembered| {
        let start = |tensor: &FlexTensor| tensor.as_slice::<f32>().map(<[f32]>::as_ptr);
        remembered.borrow().weights.iter().any(|tensor| start(tensor) == Some(address))
    });
    let Some(remembered) = known else {
        return with_scratch(len, |filters: &mut [T]| {
            transform(filters);
            body(filters)
        });
    };
    let key = (address as usize, number, TypeId::of::<T>());
    let found = remembered.borrow().filters.iter().position(|(known, _)| *known == key);
    // Out of the list while it is used: the list may change meanwhile.
    let mut filters = match found {
        Some(i) => remembered.borrow_mut().filters.swap_remove(i).1,
        None => {
            let mut filters = Scratch::take(len);
            transform(filters.elements(len));
            filters
        }
    };
    let result = body(filters.elements(len));
    remembered.borrow_mut().filters.push((key, filters));
    result
}
