//! Adapters into their base, and both into a file.

use std::io::{Read, Seek, Write};
use std::sync::Arc;

use super::rows::Update;
use super::{Base, Options, Report, stamp, write_model};
use crate::error::{Error, Result};
use crate::lora::{Adapter, Target};

/// Writes `base` with every adapter times its weight added to it, quantized. Without an adapter this
/// is a conversion of the base. Tensors that no adapter touches and whose type stays are copied byte
/// for byte. `open` makes the writer of the named file.
///
/// # Errors
/// [`Error::OtherBase`] for an adapter that was trained on another base; [`Error::MissingTensor`] and
/// [`Error::WrongShape`] for one that does not fit; [`Error::BadWeight`] for weights that are not
/// finite or that the type cannot hold; [`Error::Io`].
pub fn merge<R: Read + Seek, W: Write>(
    base: Base<R>,
    adapters: Vec<(Adapter, f32)>,
    options: &Options,
    open: &mut dyn FnMut(&str) -> Result<W>,
) -> Result<Report> {
    let sha256 = base.sha256();
    let Base { config, mut files, hashes, from, mut metadata, mut tensors } = base;
    for (adapter, weight) in adapters {
        adapter.check_base(&sha256)?;
        if !weight.is_finite() {
            let value = weight.to_string();
            return Err(Error::BadOption { option: "weight", value, expected: "a finite number" });
        }
        for ((layer, target), pair) in adapter.pairs {
            let name = tensor_name(layer, target);
            let (out, cols) = target.shape(&config);
            let rank = pair.rank as usize;
            let sizes = (pair.a.len(), pair.b.len());
            if sizes != (rank * cols as usize, out as usize * rank) {
                let expected = vec![u64::from(out), u64::from(pair.rank), u64::from(cols)];
                let found = vec![sizes.0 as u64, sizes.1 as u64];
                return Err(Error::WrongShape { tensor: name, expected, found });
            }
            let found = tensors.iter_mut().find(|tensor| tensor.name == name);
            let tensor = found.ok_or_else(|| Error::MissingTensor { tensor: name.clone() })?;
            let dims = [u64::from(cols), u64::from(out)];
            if tensor.dims != dims {
                let (expected, found) = (dims.to_vec(), tensor.dims.clone());
                return Err(Error::WrongShape { tensor: name, expected, found });
            }
            let half_split = target.permuted_heads(&config).map(|_| u64::from(config.head_dim));
            let factor = pair.scale * weight;
            tensor.updates.push(Update { pair: Arc::new(pair), factor, half_split });
        }
    }
    let mut options = options.clone();
    options.provenance.insert(0, ("quantizer".to_owned(), options.quantizer.name().to_owned()));
    options.provenance.insert(0, ("base_sha256".to_owned(), sha256));
    stamp(&mut metadata, &options, &from, hashes.join(","));
    write_model(&mut files, &tensors, &metadata, &options, open)
}

fn tensor_name(layer: u32, target: Target) -> String {
    format!("blk.{layer}.{}.weight", target.gguf_name())
}
