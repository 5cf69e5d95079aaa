//! The model as data: which buffers there are ([`layout`]), how weights get into them ([`loader`]),
//! and what is computed over them ([`forward`], which fills a [`program::Program`]), with an adapter
//! beside them where one is set ([`side`]).

pub mod executor;
pub mod forward;
pub mod layout;
pub mod loader;
pub mod program;
pub mod side;

pub use executor::{Counters, Executor};
pub use layout::{Layout, Matrix, Needs};
pub use loader::{Loader, Weights};
pub use program::{BufferId, BufferSpec, Dispatch, Program};
pub use side::SidePath;
