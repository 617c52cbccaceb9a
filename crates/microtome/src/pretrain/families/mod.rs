//! The families that can be pretrained. Adding one is adding a file here and a word to the list.

use super::imitation::Imitation;

macro_rules! families {
    ($($name:ident),* $(,)?) => {
        $(mod $name;)*
        pub(super) static ALL: &[&dyn Imitation] = &[$(&$name::IMITATION),*];
    };
}

families! {
    aido_cell,
    geneformer,
    generain,
    nicheformer,
    scgpt,
    tgpt,
}
