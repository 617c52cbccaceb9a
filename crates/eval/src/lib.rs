//! Tasks, metrics, controls, baselines and the statistics that hold them together.
