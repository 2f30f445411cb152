//! Layers. A layer is a struct of [`Param`]s with a `forward`; what a model remembers is exactly the list that
//! [`Module::parameters`] returns, under names like `stages.2.conv.weight`.

mod conv;
mod linear;
mod norm;
pub mod optim;
mod spectral;
mod up;

pub use conv::{Bias, Conv2d, Conv2dBias, ConvTranspose2d};
pub use linear::Linear;
pub use norm::{BatchNorm, Mode, Statistics};
pub use spectral::SpectralConv2d;
pub use up::UpConv2d;
pub(crate) use up::spread;

use crate::weights::{self, HostTensor, Weights};
use crate::{Result, rng};
use burn::tensor::{Device, Tensor, TensorData};
use maliang_kernels::Precision;

/// How a parameter starts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// All the same number.
    Constant(f32),
    /// Normal with this mean and standard deviation.
    Normal(f32, f32),
    /// `value` from number `start` up to before number `end`, zero elsewhere.
    Part {
        /// The number.
        value: f32,
        /// Where it begins.
        start: usize,
        /// Where it ends.
        end: usize,
    },
}

/// One named tensor of a model: trained, or a statistic that is measured.
#[derive(Debug, Clone)]
pub struct Param {
    shape: Vec<usize>,
    init: Init,
    trained: bool,
    precision: Precision,
    /// Flat, so that optimiser, average and files need not know ranks.
    value: Option<Tensor<1>>,
}

impl Param {
    /// A trained parameter; it has no value until [`initialise`] or [`load`] gives it one.
    pub fn new(shape: &[usize], init: Init) -> Self {
        Self { shape: shape.to_vec(), init, trained: true, precision: Precision::F32, value: None }
    }

    /// A measured statistic: saved with the model, never trained.
    pub fn statistic(shape: &[usize], start: f32) -> Self {
        Self { trained: false, ..Self::new(shape, Init::Constant(start)) }
    }

    /// The value in its shape.
    ///
    /// # Panics
    /// If the parameter has no value yet.
    pub fn get<const D: usize>(&self) -> Tensor<D> {
        let shape: [usize; D] = self.shape.clone().try_into().expect("a parameter is used with its own rank");
        self.flat().reshape(shape)
    }

    /// The value as a vector.
    pub fn flat(&self) -> Tensor<1> {
        self.value.clone().expect("a parameter is initialised or loaded before use")
    }

    /// Takes the value out, outside autodiff, so that nothing else holds it and it can be changed in place;
    /// [`set`](Self::set) puts it back.
    ///
    /// # Panics
    /// If the parameter has no value.
    pub fn take(&mut self) -> Tensor<1> {
        self.value.take().expect("a parameter is taken out once").inner()
    }

    /// Replaces the value; tracked for gradients when the tensor's device is.
    pub fn set(&mut self, value: Tensor<1>) {
        let tracked = self.trained && value.device().is_autodiff();
        self.value = Some(if tracked { value.detach().require_grad() } else { value });
    }

    /// Is it trained (true) or measured (false)?
    pub fn is_trained(&self) -> bool {
        self.trained
    }

    /// What products with it are computed with. The value itself is f32 in any case.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Its shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Has it no elements?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Anything with parameters.
pub trait Module: Clone {
    /// Appends (name, parameter) of all parameters, in a fixed order, names starting with `path`.
    fn collect<'a>(&'a mut self, path: &str, into: &mut Vec<(String, &'a mut Param)>);

    /// All parameters by name.
    fn parameters(&mut self) -> Vec<(String, &mut Param)> {
        let mut all = Vec::new();
        self.collect("", &mut all);
        all
    }

    /// A copy without gradients: the discriminator in the generator's step.
    fn frozen(&self) -> Self {
        let mut copy = self.clone();
        for (_, param) in copy.parameters() {
            // `detach` alone leaves the graph but keeps asking for gradients.
            param.value = param.value.take().map(|v| v.detach().set_require_grad(false));
        }
        copy
    }

    /// Sets the precision of all products.
    fn set_precision(&mut self, precision: Precision) {
        for (_, param) in self.parameters() {
            param.precision = precision;
        }
    }

    /// A copy whose values take part in autodiff as constants: gradients go through the model to its input.
    fn constant(&self) -> Self {
        let mut copy = self.clone();
        for (_, param) in copy.parameters() {
            param.value = param.value.take().map(Tensor::autodiff);
        }
        copy
    }

    /// A copy outside autodiff and in full precision, for averages, judging and generation.
    fn inner(&self) -> Self {
        let mut copy = self.clone();
        copy.set_precision(Precision::F32);
        for (_, param) in copy.parameters() {
            param.value = param.value.take().map(Tensor::inner);
        }
        copy
    }
}

/// `path.name`, or `name` at the root.
pub(crate) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_string() } else { format!("{path}.{name}") }
}

/// Gives every parameter its starting value, each from its own random stream `init/<name>` of `seed`.
pub fn initialise(model: &mut impl Module, seed: u64, device: &Device) {
    for (name, param) in model.parameters() {
        let values = match param.init {
            Init::Constant(value) => vec![value; param.len()],
            Init::Part { value, start, end } => {
                (0..param.len()).map(|i| if (start..end).contains(&i) { value } else { 0.0 }).collect()
            }
            Init::Normal(mean, deviation) => {
                let mut stream = rng::stream(seed, &format!("init/{name}"), 0);
                rng::normal(&mut stream, param.len()).into_iter().map(|v| mean + deviation * v).collect()
            }
        };
        param.set(vector(values, device));
    }
}

/// Takes the value of every parameter out of `weights`, under `prefix`.
///
/// # Errors
/// A parameter that is missing or has another shape.
pub fn load(model: &mut impl Module, weights: &mut Weights, prefix: &str, device: &Device) -> Result<()> {
    for (name, param) in model.parameters() {
        let tensor = weights::take(weights, &join(prefix, &name), &param.shape)?;
        param.set(vector(tensor.data, device));
    }
    Ok(())
}

/// Adds the value of every parameter to `weights`, under `prefix`.
pub fn store(model: &impl Module, weights: &mut Weights, prefix: &str) {
    for (name, param) in model.clone().parameters() {
        let tensor = HostTensor { shape: param.shape.clone(), data: host(param.flat()) };
        weights.insert(join(prefix, &name), tensor);
    }
}

/// A vector on a device.
pub(crate) fn vector(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), device)
}

/// The numbers of a tensor.
pub(crate) fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("tensors are f32")
}
