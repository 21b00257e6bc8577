//! Real swarms and the simulator's model, side by side.
