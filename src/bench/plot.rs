//! Growth as one picture.

use super::scaling::{Axis, Point, Scaling};
use crate::plot::{Chart, Panel, Scale, Series};

impl Scaling {
    /// All series as one SVG, those of one unit in one panel.
    pub fn svg(&self) -> String {
        // No history has its place on the axis too.
        let across = Scale::Powers { shift: f64::from(u8::from(self.axis == Axis::History)) };
        let mut panels: Vec<Panel> = Vec::new();
        for series in &self.series {
            let point = |point: &Point| (point.x as f64, point.y);
            let line = Series {
                name: series.name.clone(),
                points: series.points.iter().map(point).collect(),
                goal: series.goal.as_ref().map(point),
                is_twin: false,
            };
            match panels.iter_mut().find(|panel| panel.unit == series.unit) {
                Some(panel) => panel.series.push(line),
                None => panels.push(Panel {
                    unit: series.unit.clone(),
                    across,
                    up: None,
                    series: vec![line],
                }),
            }
        }
        let machine = &self.machine;
        let head = vec![
            format!("Cost against {}", self.axis.name()),
            format!(
                "sekisho {} ({}), {} {}",
                machine.version, machine.profile, machine.cpu, machine.kernel
            ),
        ];
        Chart { head, panels }.svg()
    }
}
