//! Writing a model tensor by tensor, from wherever its tensors lie.

use std::io::{Read, Seek, Write};

use sha2::{Digest, Sha256};

use super::rows::{Rows, recode_rows};
use super::{COPY_BYTES, Options, PartReport, Report, SourceTensor, TensorReport, read_at};
use crate::digest::hex;
use crate::error::{Error, Result};
use crate::gguf::{Layout, TensorSpec, TensorType, Value, part_name};
use crate::quant::encode::QuantError;

/// Lets every byte written be hashed.
struct Hashing<W> {
    inner: W,
    hasher: Sha256,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

/// Lays the model out and writes all its files.
pub(super) fn write_model<R: Read + Seek, W: Write>(
    files: &mut [R],
    tensors: &[SourceTensor],
    metadata: &[(String, Value)],
    options: &Options,
    open: &mut dyn FnMut(&str) -> Result<W>,
) -> Result<Report> {
    let specs: Vec<TensorSpec> = tensors
        .iter()
        .map(|tensor| TensorSpec {
            name: tensor.name.clone(),
            ty: options.type_for(tensor),
            dims: tensor.dims.clone(),
        })
        .collect();
    let layout = Layout::new(metadata, &specs, options.max_part_bytes)?;
    let mut report = Report { parts: Vec::new(), tensors: Vec::new() };
    for (no, part) in layout.parts().iter().enumerate() {
        let name = match options.max_part_bytes {
            Some(_) => part_name(&options.name, no, layout.parts().len()),
            None => format!("{}.gguf", options.name),
        };
        let mut out = Hashing { inner: open(&name)?, hasher: Sha256::new() };
        part.write(&name, &mut out, &mut |index, info, sink| {
            let from = &tensors[index];
            let Some(file) = files.get_mut(from.file) else {
                return Err(Error::Internal(format!("no source file for {}", from.name)));
            };
            let as_it_is = from.updates.is_empty() && from.half_split.is_none();
            let error = if from.ty == info.ty && as_it_is {
                copy(file, from, info.bytes(), sink)?;
                QuantError::default()
            } else {
                recode(file, from, info.ty, options, sink)?
            };
            let name = info.name.clone();
            report.tensors.push(TensorReport { name, from: from.ty, to: info.ty, error });
            Ok(())
        })?;
        let sha256 = hex(out.hasher.finalize());
        report.parts.push(PartReport { name, bytes: part.file_bytes(), sha256 });
    }
    Ok(report)
}

/// Copies the bytes, once their weights are known to be finite.
fn copy(
    file: &mut (impl Read + Seek),
    from: &SourceTensor,
    bytes: u64,
    sink: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let block = from.ty.block_bytes() as usize;
    let mut values = vec![0.0; from.ty.block_len() as usize * 64];
    let most = COPY_BYTES / block * block;
    let mut buffer = vec![0; most.min(usize::try_from(bytes).unwrap_or(most))];
    let mut done = 0;
    while done < bytes {
        let len = buffer.len().min(usize::try_from(bytes - done).unwrap_or(usize::MAX));
        read_at(file, &from.name, from.offset + done, &mut buffer[..len])?;
        for blocks in buffer[..len].chunks(block * 64) {
            let count = blocks.len() / block * from.ty.block_len() as usize;
            from.ty.dequantize(blocks, &mut values[..count]);
            if !values[..count].iter().all(|value| value.is_finite()) {
                return Err(Error::BadWeight { tensor: from.name.clone() });
            }
        }
        sink(&buffer[..len])?;
        done += len as u64;
    }
    Ok(())
}

fn recode(
    file: &mut (impl Read + Seek),
    from: &SourceTensor,
    to: TensorType,
    options: &Options,
    sink: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<QuantError> {
    let cols = from.dims[0];
    let rows: u64 = from.dims[1..].iter().product();
    let row_bytes = from.ty.row_bytes(cols).unwrap_or(0);
    // Whole heads at a time, so that a permuted row's source is at hand.
    let unit = from.half_split.unwrap_or(1).max(1);
    let rows_at_once = (4 * COPY_BYTES as u64 / row_bytes.max(1) / unit).max(1) * unit;
    let mut source = vec![0; (row_bytes * rows_at_once.min(rows)) as usize];
    let mut error = QuantError::default();
    let mut first = 0;
    while first < rows {
        let count = rows_at_once.min(rows - first);
        let bytes = &mut source[..(row_bytes * count) as usize];
        read_at(file, &from.name, from.offset + first * row_bytes, bytes)?;
        let rows = Rows { tensor: from, first, bytes, to, quantizer: options.quantizer };
        for group in recode_rows(&rows) {
            let (encoded, cost) = group?;
            sink(&encoded)?;
            error.merge(&cost);
        }
        first += count;
    }
    Ok(error)
}
