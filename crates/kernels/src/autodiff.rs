//! The hand-written backward passes, made of extension operations themselves. A parent that is not tracked (a frozen
//! discriminator, a batch of real pictures) costs nothing.

use crate::activation::Activation;
use crate::ops::KernelOps;
use crate::options::{Conv2dOptions, DepthwiseOptions};
use crate::resize::Filter;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, TensorMetadata};
use burn::tensor::Shape;

/// Prepares the operation `$backward` on `$parents`, keeping `$state` only when one of them is tracked.
macro_rules! record {
    ($backward:expr, [$($parent:ident),+], $out:expr, $state:expr) => {{
        let out = $out;
        match $backward.prepare::<C>([$($parent),+]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish($state, out),
            OpsKind::UnTracked(prepared) => prepared.finish(out),
        }
    }};
}
pub(crate) use record;

/// Hands the tracked ones of a convolution's input and weight their gradients.
fn register_conv2d<B: KernelOps>(
    grads: &mut Gradients,
    [parent_x, parent_w]: [Option<NodeId>; 2],
    (x, w, options): (FloatTensor<B>, FloatTensor<B>, Conv2dOptions),
    gy: FloatTensor<B>,
) {
    let (input, kernel) = (x.shape(), w.shape());
    if let Some(id) = parent_w {
        grads.register::<B>(id, B::conv2d_weight_grad(x, gy.clone(), [kernel[0], kernel[1]], options));
    }
    if let Some(id) = parent_x {
        grads.register::<B>(id, B::conv2d_input_grad(gy, w, [input[1], input[2]], options));
    }
}

#[derive(Debug)]
struct Conv2d;

impl<B: Backend + KernelOps> Backward<B, 2> for Conv2d {
    type State = (FloatTensor<B>, FloatTensor<B>, Conv2dOptions);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gy = grads.consume::<B>(&ops.node);
        register_conv2d::<B>(grads, ops.parents.map(|p| p.map(|node| node.id)), ops.state, gy);
    }
}

#[derive(Debug)]
struct Conv2dBias;

impl<B: Backend + KernelOps> Backward<B, 3> for Conv2dBias {
    /// x, w, the output, and how it came about.
    type State = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, Conv2dOptions, Activation);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [parent_x, parent_w, parent_bias] = ops.parents;
        let gy = grads.consume::<B>(&ops.node);
        let (x, w, y, options, activation) = ops.state;
        let output = y.shape();
        let rows = Shape::from([output.num_elements() / output[3].max(1), output[3]]);
        let y = B::float_reshape(y, rows.clone());
        let gy = B::activation_backward(y, B::float_reshape(gy, rows), activation);
        if let Some(node) = parent_bias {
            grads.register::<B>(node.id, B::channel_sums(gy.clone()));
        }
        let gy = B::float_reshape(gy, output);
        register_conv2d::<B>(grads, [parent_x, parent_w].map(|p| p.map(|node| node.id)), (x, w, options), gy);
    }
}

#[derive(Debug)]
struct Conv2dInputGrad;

impl<B: Backend + KernelOps> Backward<B, 2> for Conv2dInputGrad {
    type State = (FloatTensor<B>, FloatTensor<B>, Conv2dOptions);

    /// The operation is linear in both arguments: its adjoint in `gy` is the convolution, in `w` the weight gradient.
    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [parent_gy, parent_w] = ops.parents;
        let g = grads.consume::<B>(&ops.node);
        let (gy, w, options) = ops.state;
        let kernel = w.shape();
        if let Some(node) = parent_w {
            grads.register::<B>(node.id, B::conv2d_weight_grad(g.clone(), gy, [kernel[0], kernel[1]], options));
        }
        if let Some(node) = parent_gy {
            grads.register::<B>(node.id, B::conv2d_nhwc(g, w, options));
        }
    }
}

#[derive(Debug)]
struct Depthwise;

impl<B: Backend + KernelOps> Backward<B, 2> for Depthwise {
    type State = (FloatTensor<B>, FloatTensor<B>, DepthwiseOptions);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [parent_x, parent_w] = ops.parents;
        let gy = grads.consume::<B>(&ops.node);
        let (x, w, options) = ops.state;
        let (input, kernel) = (x.shape(), w.shape());
        if let Some(node) = parent_w {
            grads.register::<B>(node.id, B::depthwise_weight_grad(x, gy.clone(), [kernel[0], kernel[1]], options));
        }
        if let Some(node) = parent_x {
            grads.register::<B>(node.id, B::depthwise_input_grad(gy, w, [input[1], input[2]], options));
        }
    }
}

#[derive(Debug)]
struct Resize;

impl<B: Backend + KernelOps> Backward<B, 1> for Resize {
    /// The pictures' height and width.
    type State = ([usize; 2], Filter);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gy = grads.consume::<B>(&ops.node);
        let (size, filter) = ops.state;
        if let [Some(node)] = ops.parents {
            grads.register::<B>(node.id, B::resize_backward(gy, size, filter));
        }
    }
}

/// Hands each tracked parent its gradient.
fn register<B: Backend>(grads: &mut Gradients, parents: [Option<NodeId>; 3], values: [FloatTensor<B>; 3]) {
    for (parent, value) in parents.into_iter().zip(values) {
        if let Some(id) = parent {
            grads.register::<B>(id, value);
        }
    }
}

/// x, γ, β, mean, variance, ε, activation.
type BatchNormState<B> =
    (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, f32, Activation);

#[derive(Debug)]
struct BatchNorm;

impl<B: Backend + KernelOps> Backward<B, 3> for BatchNorm {
    type State = BatchNormState<B>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gy = grads.consume::<B>(&ops.node);
        let (x, gamma, beta, mean, variance, epsilon, activation) = ops.state;
        let (gx, g_gamma, g_beta) = B::batch_norm_backward(x, gy, gamma, beta, mean, variance, epsilon, activation);
        register::<B>(grads, ops.parents.map(|p| p.map(|node| node.id)), [gx, g_gamma, g_beta]);
    }
}

#[derive(Debug)]
struct Affine;

impl<B: Backend + KernelOps> Backward<B, 3> for Affine {
    type State = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, Activation);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gy = grads.consume::<B>(&ops.node);
        let (x, y, scale, activation) = ops.state;
        let (gx, g_scale, g_shift) = B::affine_backward(x, y, gy, scale, activation);
        register::<B>(grads, ops.parents.map(|p| p.map(|node| node.id)), [gx, g_scale, g_shift]);
    }
}

#[derive(Debug)]
struct Bias;

impl<B: Backend + KernelOps> Backward<B, 2> for Bias {
    /// The output, and the activation that led to it.
    type State = (FloatTensor<B>, Activation);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [parent_x, parent_bias] = ops.parents;
        let gy = grads.consume::<B>(&ops.node);
        let (y, activation) = ops.state;
        let gx = B::activation_backward(y, gy, activation);
        if let Some(node) = parent_bias {
            grads.register::<B>(node.id, B::channel_sums(gx.clone()));
        }
        if let Some(node) = parent_x {
            grads.register::<B>(node.id, gx);
        }
    }
}

#[derive(Debug)]
struct Augment;

impl<B: Backend + KernelOps> Backward<B, 1> for Augment {
    type State = Vec<f32>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gy = grads.consume::<B>(&ops.node);
        if let [Some(node)] = ops.parents {
            grads.register::<B>(node.id, B::augment_backward(gy, ops.state));
        }
    }
}

#[derive(Debug)]
struct Glu;

impl<B: Backend + KernelOps> Backward<B, 1> for Glu {
    /// The input.
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gy = grads.consume::<B>(&ops.node);
        if let [Some(node)] = ops.parents {
            grads.register::<B>(node.id, B::glu_backward(ops.state, gy));
        }
    }
}

#[derive(Debug)]
struct Excite;

impl<B: Backend + KernelOps> Backward<B, 2> for Excite {
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gy = grads.consume::<B>(&ops.node);
        let (x, s) = ops.state;
        let (gx, gs) = B::excite_backward(x, s, gy);
        let [parent_x, parent_s] = ops.parents;
        if let Some(node) = parent_x {
            grads.register::<B>(node.id, gx);
        }
        if let Some(node) = parent_s {
            grads.register::<B>(node.id, gs);
        }
    }
}

#[derive(Debug)]
struct AveragePool;

impl<B: Backend + KernelOps> Backward<B, 1> for AveragePool {
    /// Height and width of the input.
    type State = [usize; 2];

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gy = grads.consume::<B>(&ops.node);
        if let [Some(node)] = ops.parents {
            grads.register::<B>(node.id, B::average_pool_backward(gy, ops.state));
        }
    }
}

impl<B: Backend + KernelOps, C: CheckpointStrategy> KernelOps for Autodiff<B, C> {
    fn conv2d_nhwc(x: FloatTensor<Self>, w: FloatTensor<Self>, options: Conv2dOptions) -> FloatTensor<Self> {
        let (node_x, node_w) = (x.node(), w.node());
        let (x, w) = (x.into_primitive(), w.into_primitive());
        let y = B::conv2d_nhwc(x.clone(), w.clone(), options);
        record!(Conv2d, [node_x, node_w], y, (x, w, options))
    }

    fn conv2d_bias(
        x: FloatTensor<Self>,
        w: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        options: Conv2dOptions,
        activation: Activation,
    ) -> FloatTensor<Self> {
        let (node_x, node_w, node_bias) = (x.node(), w.node(), bias.node());
        let (x, w, bias) = (x.into_primitive(), w.into_primitive(), bias.into_primitive());
        let y = B::conv2d_bias(x.clone(), w.clone(), bias, options, activation);
        record!(Conv2dBias, [node_x, node_w, node_bias], y.clone(), (x, w, y, options, activation))
    }

    fn conv2d_input_grad(
        gy: FloatTensor<Self>,
        w: FloatTensor<Self>,
        size: [usize; 2],
        options: Conv2dOptions,
    ) -> FloatTensor<Self> {
        let (node_gy, node_w) = (gy.node(), w.node());
        let (gy, w) = (gy.into_primitive(), w.into_primitive());
        let gx = B::conv2d_input_grad(gy.clone(), w.clone(), size, options);
        record!(Conv2dInputGrad, [node_gy, node_w], gx, (gy, w, options))
    }

    fn depthwise_nhwc(x: FloatTensor<Self>, w: FloatTensor<Self>, options: DepthwiseOptions) -> FloatTensor<Self> {
        let (node_x, node_w) = (x.node(), w.node());
        let (x, w) = (x.into_primitive(), w.into_primitive());
        let y = B::depthwise_nhwc(x.clone(), w.clone(), options);
        record!(Depthwise, [node_x, node_w], y, (x, w, options))
    }

    fn resize_pictures(x: FloatTensor<Self>, size: [usize; 2], filter: Filter) -> FloatTensor<Self> {
        let node = x.node();
        let x = x.into_primitive();
        let [_, height, width, _] = x.shape().dims();
        record!(Resize, [node], B::resize_pictures(x, size, filter), ([height, width], filter))
    }

    fn batch_norm_rows(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f32,
        activation: Activation,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let (node_x, node_gamma, node_beta) = (x.node(), gamma.node(), beta.node());
        let (x, gamma, beta) = (x.into_primitive(), gamma.into_primitive(), beta.into_primitive());
        let (y, mean, variance) = B::batch_norm_rows(x.clone(), gamma.clone(), beta.clone(), epsilon, activation);
        let state = (x, gamma, beta, mean.clone(), variance.clone(), epsilon, activation);
        let y = record!(BatchNorm, [node_x, node_gamma, node_beta], y, state);
        // The statistics are reported, not differentiated.
        (y, Self::FloatTensorPrimitive::new(mean), Self::FloatTensorPrimitive::new(variance))
    }

    fn affine_rows(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self> {
        let (node_x, node_scale, node_shift) = (x.node(), scale.node(), shift.node());
        let (x, scale, shift) = (x.into_primitive(), scale.into_primitive(), shift.into_primitive());
        let y = B::affine_rows(x.clone(), scale.clone(), shift, activation);
        record!(Affine, [node_x, node_scale, node_shift], y.clone(), (x, y, scale, activation))
    }

    fn bias_rows(x: FloatTensor<Self>, bias: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self> {
        let (node_x, node_bias) = (x.node(), bias.node());
        // The input is not kept, so the backend may write the output over it.
        let y = B::bias_rows(x.into_primitive(), bias.into_primitive(), activation);
        record!(Bias, [node_x, node_bias], y.clone(), (y, activation))
    }

    fn augment_pictures(x: FloatTensor<Self>, plans: Vec<f32>) -> FloatTensor<Self> {
        let node = x.node();
        let y = B::augment_pictures(x.into_primitive(), plans.clone());
        record!(Augment, [node], y, plans)
    }

    fn glu_rows(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let node = x.node();
        let x = x.into_primitive();
        let y = B::glu_rows(x.clone());
        record!(Glu, [node], y, x)
    }

    fn excite_pictures(x: FloatTensor<Self>, s: FloatTensor<Self>) -> FloatTensor<Self> {
        let (node_x, node_s) = (x.node(), s.node());
        let (x, s) = (x.into_primitive(), s.into_primitive());
        let y = B::excite_pictures(x.clone(), s.clone());
        record!(Excite, [node_x, node_s], y, (x, s))
    }

    fn average_pool_nhwc(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let node = x.node();
        let x = x.into_primitive();
        let shape = x.shape();
        let y = B::average_pool_nhwc(x);
        record!(AveragePool, [node], y, [shape[1], shape[2]])
    }
}
