//! Facade of Microtome: read, tokenise, run, tap, evaluate, render, resume.
//!
//! Everything a program wants goes through here; the command line and any binding use nothing else. Each job is one
//! function that takes an options value and a [`microtome_core::Progress`] and returns a report that serialises to JSON.

mod anatomy;
mod attention;
mod budget;
mod card;
mod catalogue;
mod data;
mod demo;
mod demo_model;
mod doctor;
mod drift;
mod embed;
mod finetune;
mod gene_sets;
mod gene_store;
mod gene_vectors;
mod hash;
mod init;
mod inspect;
mod labels;
mod napistu;
mod obs;
mod ontology;
mod open;
mod output;
mod parity;
mod perturb;
mod pretrain;
mod preview;
mod read_table;
mod recover;
mod render;
mod represent;
mod scan;
mod simulate;
mod slot;
mod store;
mod study;
mod table;
mod targets;
mod tokenize;
mod twin;

pub use anatomy::{
    AnatomyOptions, AnatomyReport, ExtractOptions, ExtractReport, Quirk, Rotations, RoutingChoice,
    RoutingMode, anatomy, extract,
};
pub use attention::{AttentionOf, AttentionOptions, AttentionReport, attention};
pub use budget::RunOptions;
pub use catalogue::{Catalogue, ControlEntry, MetricEntry, TaskEntry, catalogue};
pub use data::{Data, DataOptions, PrepareOptions};
pub use demo::{DemoOptions, demo};
pub use doctor::{Diagnosis, doctor};
pub use drift::SiteDrift;
pub use embed::{EmbedOptions, EmbedReport, embed};
pub use finetune::{FinetuneOptions, FinetuneReport, Goal, MergeReport, ScoreLine, finetune, merge};
pub use gene_store::{
    BlockAttention, CategoryEntry, CategoryFile, Gene, GeneList, GeneStore, GeneStoreManifest, KeyValue,
    ModelEntry, NormKind, SiteEntry, SiteMeans, StoredFlow,
};
pub use init::init;
pub use inspect::{Inspection, inspect, models};
pub use microtome_eval::study::Rule as OrthologRule;
pub use microtome_eval::table::TableOptions;
pub use microtome_eval::tasks::perturbation::Reference;
pub use microtome_models::parity::{KitReport, TensorReport};
pub use microtome_models::taps::Pooling;
pub use microtome_models::{Overlap, Precision};
pub use microtome_train::finetune::{FitOptions, Method};
pub use microtome_train::pretrain::{Decay, Masking, Recipe};
pub use microtome_train::{Clones, Drugs, Mouse, Preset, Screen, SimulateOptions, Topology, TypeTree};
pub use napistu::{ExportReport, ImportReport, export, import};
pub use open::OpenModel;
pub use parity::parity;
pub use perturb::{PerturbReport, Perturbation, perturb};
pub use pretrain::{
    AnnotationOptions, AnnotationReport, Asked, Begin, PretrainOptions, PretrainReport, Shape, Split,
    pretrain,
};
pub use render::report;
pub use represent::CellStats;
pub use scan::{CompareOptions, ScanOptions, ScanReport, TaskOptions, scan};
pub use simulate::{SimulateReport, SimulateRun, simulate};
pub use store::{Manifest, Store};
pub use study::{Named, OrthologTable, Pipeline, StudyMean, StudyOptions, StudyReport, StudyRow, study};
pub use table::{FromTable, report_table};
pub use targets::{Readout, TargetScore, TargetsOptions, TargetsReport, targets};

pub use tokenize::{TokenReport, tokenize};
