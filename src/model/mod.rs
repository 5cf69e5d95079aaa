//! The model as data: which buffers there are ([`layout`]), how weights get into them ([`loader`]),
//! and what is computed over them ([`forward`], which fills a [`program::Program`]).

pub mod executor;
pub mod forward;
pub mod layout;
pub mod loader;
pub mod program;

pub use executor::{Counters, Executor};
pub use layout::{Layout, Matrix, Needs};
pub use loader::{Loader, Weights};
pub use program::{BufferId, BufferSpec, Dispatch, Program};
