//! The tensor types of ggml that this crate reads, and what a header says about one tensor.

use super::blocks;

/// Storage type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(non_camel_case_types)] // ggml's own names, as they stand in files and messages
pub enum TensorType {
    /// IEEE binary32.
    F32,
    /// IEEE binary16.
    F16,
    /// The upper half of a binary32.
    BF16,
    /// 4 bits, a scale per 32: `d·(q−8)`.
    Q4_0,
    /// 4 bits, scale and minimum per 32: `d·q+m`.
    Q4_1,
    /// 5 bits, a scale per 32: `d·(q−16)`.
    Q5_0,
    /// 5 bits, scale and minimum per 32: `d·q+m`.
    Q5_1,
    /// 8 bits, a scale per 32: `d·q`.
    Q8_0,
    /// 4 bits; 6-bit scales and minima per 32 within 256.
    Q4_K,
    /// 5 bits; 6-bit scales and minima per 32 within 256.
    Q5_K,
    /// 6 bits; 8-bit scales per 16 within 256.
    Q6_K,
}

impl TensorType {
    /// Every supported type.
    pub const ALL: [TensorType; 11] = [
        TensorType::F32,
        TensorType::F16,
        TensorType::BF16,
        TensorType::Q4_0,
        TensorType::Q4_1,
        TensorType::Q5_0,
        TensorType::Q5_1,
        TensorType::Q8_0,
        TensorType::Q4_K,
        TensorType::Q5_K,
        TensorType::Q6_K,
    ];

    /// The id in ggml's `enum ggml_type`, as files hold it.
    pub fn id(self) -> u32 {
        match self {
            TensorType::F32 => 0,
            TensorType::F16 => 1,
            TensorType::Q4_0 => 2,
            TensorType::Q4_1 => 3,
            TensorType::Q5_0 => 6,
            TensorType::Q5_1 => 7,
            TensorType::Q8_0 => 8,
            TensorType::Q4_K => 12,
            TensorType::Q5_K => 13,
            TensorType::Q6_K => 14,
            TensorType::BF16 => 30,
        }
    }

    /// The type with this ggml id, if it is one of ours.
    pub fn from_id(id: u32) -> Option<TensorType> {
        TensorType::ALL.into_iter().find(|ty| ty.id() == id)
    }

    /// ggml's name, for instance `Q4_1`.
    pub fn name(self) -> &'static str {
        match self {
            TensorType::F32 => "F32",
            TensorType::F16 => "F16",
            TensorType::BF16 => "BF16",
            TensorType::Q4_0 => "Q4_0",
            TensorType::Q4_1 => "Q4_1",
            TensorType::Q5_0 => "Q5_0",
            TensorType::Q5_1 => "Q5_1",
            TensorType::Q8_0 => "Q8_0",
            TensorType::Q4_K => "Q4_K",
            TensorType::Q5_K => "Q5_K",
            TensorType::Q6_K => "Q6_K",
        }
    }

    /// The type of this name, upper or lower case.
    pub fn from_name(name: &str) -> Option<TensorType> {
        TensorType::ALL.into_iter().find(|ty| ty.name().eq_ignore_ascii_case(name))
    }

    /// Weights in one block.
    pub fn block_len(self) -> u64 {
        match self {
            TensorType::F32 | TensorType::F16 | TensorType::BF16 => 1,
            TensorType::Q4_K | TensorType::Q5_K | TensorType::Q6_K => 256,
            _ => 32,
        }
    }

    /// Bytes of one block.
    pub fn block_bytes(self) -> u64 {
        match self {
            TensorType::F32 => 4,
            TensorType::F16 | TensorType::BF16 => 2,
            TensorType::Q4_0 => 18,
            TensorType::Q4_1 => 20,
            TensorType::Q5_0 => 22,
            TensorType::Q5_1 => 24,
            TensorType::Q8_0 => 34,
            TensorType::Q4_K => 144,
            TensorType::Q5_K => 176,
            TensorType::Q6_K => 210,
        }
    }

    /// Bytes of a row of `cols` weights; `None` when `cols` is no multiple of the block or the
    /// product overflows.
    pub fn row_bytes(self, cols: u64) -> Option<u64> {
        if !cols.is_multiple_of(self.block_len()) {
            return None;
        }
        (cols / self.block_len()).checked_mul(self.block_bytes())
    }

    /// Decodes whole blocks to f32, with the operations and rounding of ggml's reference.
    /// Decodes as many blocks as both `bytes` and `out` hold.
    pub fn dequantize(self, bytes: &[u8], out: &mut [f32]) {
        blocks::dequantize(self, bytes, out);
    }
}

impl std::fmt::Display for TensorType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// ggml's name of a type id that is not supported, or `type N`.
pub(super) fn foreign_type_name(id: u32) -> String {
    let name = match id {
        9 => "Q8_1",
        10 => "Q2_K",
        11 => "Q3_K",
        15 => "Q8_K",
        16 => "IQ2_XXS",
        17 => "IQ2_XS",
        18 => "IQ3_XXS",
        19 => "IQ1_S",
        20 => "IQ4_NL",
        21 => "IQ3_S",
        22 => "IQ2_S",
        23 => "IQ4_XS",
        24 => "I8",
        25 => "I16",
        26 => "I32",
        27 => "I64",
        28 => "F64",
        29 => "IQ1_M",
        34 => "TQ1_0",
        35 => "TQ2_0",
        39 => "MXFP4",
        _ => return format!("type {id}"),
    };
    name.to_owned()
}

/// One tensor of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// ggml's name, for instance `blk.0.attn_q.weight`.
    pub name: String,
    /// Storage type.
    pub ty: TensorType,
    /// Extents in ggml's order: `dims[0]` is the number of columns, which lie together in memory.
    pub dims: Vec<u64>,
    /// First byte, counted from the start of the data section.
    pub offset: u64,
}

impl TensorInfo {
    /// Weights in a row.
    pub fn cols(&self) -> u64 {
        self.dims.first().copied().unwrap_or(1)
    }

    /// Number of rows: the product of all dimensions but the first.
    pub fn rows(&self) -> u64 {
        self.dims.iter().skip(1).fold(1, |product, &dim| product.saturating_mul(dim))
    }

    /// Bytes of a row; 0 for a column count that is no multiple of the block (the reader refuses
    /// such tensors).
    pub fn row_bytes(&self) -> u64 {
        self.ty.row_bytes(self.cols()).unwrap_or(0)
    }

    /// Bytes of the whole tensor.
    pub fn bytes(&self) -> u64 {
        self.row_bytes().saturating_mul(self.rows())
    }
}
