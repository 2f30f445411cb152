//! A list of tensors as an argument of an extension operation. Burn's macros carry single tensors only.

use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Backend, BackendTensor, Dispatch, DispatchAutodiffContext, DispatchTensor, DispatchTensorKind, ExtensionType,
};
use burn::tensor::Tensor;

/// Any number of float tensors of one backend.
#[derive(Debug, Clone)]
pub struct Tensors<B: Backend>(pub Vec<FloatTensor<B>>);

impl<B: Backend> ExtensionType<B> for Tensors<B> {
    type Target = Tensors<Dispatch>;

    fn map_to_dispatch<F>(self, map_kind: F, autodiff: DispatchAutodiffContext) -> Self::Target
    where
        F: Fn(BackendTensor<B>) -> DispatchTensorKind,
    {
        let wrap = |tensor| DispatchTensor { kind: map_kind(BackendTensor::Float(tensor)), autodiff };
        Tensors(self.0.into_iter().map(wrap).collect())
    }

    fn map_from_dispatch<F>(target: Self::Target, unwrap_kind: F) -> Self
    where
        F: Fn(DispatchTensor) -> BackendTensor<B>,
    {
        Self(target.0.into_iter().map(|tensor| unwrap_kind(tensor).float()).collect())
    }

    fn routing_tensor(target: &Self::Target) -> Option<&DispatchTensor> {
        target.0.first()
    }

    fn routing_float_tensor(target: &Self::Target) -> Option<&DispatchTensor> {
        target.0.first()
    }

    fn autodiff_context(target: &Self::Target) -> DispatchAutodiffContext {
        let disabled = DispatchAutodiffContext::Disabled;
        target.0.iter().fold(disabled, |context, tensor| context.merge(tensor.autodiff))
    }
}

impl From<Vec<Tensor<1>>> for Tensors<Dispatch> {
    fn from(tensors: Vec<Tensor<1>>) -> Self {
        Self(tensors.into_iter().map(Tensor::into_dispatch).collect())
    }
}

impl From<Tensors<Dispatch>> for Vec<Tensor<1>> {
    fn from(tensors: Tensors<Dispatch>) -> Self {
        tensors.0.into_iter().map(Tensor::from_dispatch).collect()
    }
}
