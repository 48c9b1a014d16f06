//! What a dump looks like.

use super::{Dump, Frame, GoroutineDump, GoroutineStatus, Group, Groups};
use crate::sched::reason::WaitReason;
use std::fmt;

/// So many numbers of a group's goroutines are shown.
const IDS: usize = 10;

impl fmt::Display for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, g) in self.goroutines.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            g.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Groups<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, group) in self.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            group.fmt(f)?;
        }
        Ok(())
    }
}

/// A paragraph, ending with a newline.
impl fmt::Display for GoroutineDump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "goroutine {}", self.id)?;
        if let Some(name) = &self.name {
            write!(f, " \"{name}\"")?;
        }
        write!(f, " [")?;
        self.doing(f, true)?;
        if let Some(waited) = self.waited {
            write!(f, ", {waited:.1?}")?;
        }
        writeln!(f, "]:")?;
        self.body(f)
    }
}

/// A paragraph, ending with a newline.
impl fmt::Display for Group<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [one] = self.goroutines() {
            return one.fmt(f);
        }
        let example = self.example();
        write!(f, "{} goroutines [", self.count())?;
        example.doing(f, false)?;
        if let Some((shortest, longest)) = self.waited() {
            write!(f, ", {shortest:.1?} to {longest:.1?}")?;
        }
        write!(f, "]:")?;
        for id in self.ids().take(IDS) {
            write!(f, " {id}")?;
        }
        match self.count().checked_sub(IDS) {
            None | Some(0) => writeln!(f)?,
            Some(more) => writeln!(f, " ... and {more} more")?,
        }
        example.body(f)
    }
}

impl GoroutineDump {
    /// What stands between the brackets, without the time. `fully`: with what is this goroutine's own.
    fn doing(&self, f: &mut fmt::Formatter<'_>, fully: bool) -> fmt::Result {
        match self.status {
            GoroutineStatus::Runnable => f.write_str("runnable")?,
            GoroutineStatus::Running => f.write_str("running")?,
            GoroutineStatus::Syscall => f.write_str("syscall/blocking")?,
            GoroutineStatus::Waiting if self.reason == WaitReason::None => {
                f.write_str("waiting")?
            }
            GoroutineStatus::Waiting => f.write_str(self.reason.as_str())?,
        }
        if !fully {
            return Ok(());
        }
        if let Some(thread) = self.thread {
            write!(f, " on M {} (thread {})", thread.m, thread.tid)?;
        }
        match (self.reason, &self.object) {
            (_, None) => Ok(()),
            (WaitReason::Sleep, Some(object)) => write!(f, ", {object}"),
            (WaitReason::Join, Some(object)) => write!(f, " {object}"),
            (_, Some(object)) => write!(f, " on {object}"),
        }
    }

    fn body(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let frames = match f.alternate() {
            true => self.frames(),
            false => self.shown_frames(),
        };
        for frame in frames {
            writeln!(f, "{frame}")?;
        }
        if self.stack.cut {
            writeln!(f, "... and more frames")?;
        }
        match self.spawned_at {
            Some(at) => writeln!(f, "created at {at}"),
            None => Ok(()),
        }
    }
}

/// The function, and in a second line where it stands in the source, or its address if that is not known.
impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.function().unwrap_or("(unknown function)"))?;
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "\n    {file}:{line}"),
            (Some(file), None) => write!(f, "\n    {file}"),
            (None, _) => write!(f, "\n    {:#x}", self.address),
        }
    }
}
