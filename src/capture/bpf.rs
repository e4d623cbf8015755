//! Runs a classic BPF program over a frame.
//!
//! libpcap's own interpreter is out of reach without `unsafe` for a frame whose captured length
//! differs from its wire length, and `len`, `greater` and `less` need both. Semantics follow
//! McCanne and Jacobson (1993) and libpcap's `bpf_filter.c`: a load out of bounds, a division by
//! zero or a jump out of the program rejects the frame.

use std::str::FromStr;

/// A program that is known to hold only instructions we have.
#[derive(Debug, Clone)]
pub(super) struct Program(Vec<Instruction>);

/// Why a program cannot be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UnknownInstruction;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Instruction {
    LoadAbsolute(Width, u32),
    LoadIndirect(Width, u32),
    Load(Value),
    LoadX(Value),
    /// Four times the low nibble: the length of an IPv4 header.
    LoadXHeaderLen(u32),
    Store(usize),
    StoreX(usize),
    Compute(Operation, Operand),
    Negate,
    Jump(i32),
    Branch {
        test: Test,
        operand: Operand,
        then: u8,
        otherwise: u8,
    },
    Return(u32),
    ReturnA,
    CopyAToX,
    CopyXToA,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    Word,
    Half,
    Byte,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    Constant(u32),
    Memory(usize),
    WireLen,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operand {
    Constant(u32),
    X,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    And,
    Or,
    Xor,
    ShiftLeft,
    ShiftRight,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Test {
    Equal,
    Greater,
    GreaterOrEqual,
    AnyBit,
}

/// What a program works with.
#[derive(Debug, Default)]
struct Machine {
    a: u32,
    x: u32,
    memory: [u32; MEMORY_LEN],
}

impl Program {
    /// Takes instructions in the form `code jt jf k`, four decimal numbers each.
    pub(super) fn parse<T: AsRef<str>>(
        lines: impl IntoIterator<Item = T>,
    ) -> Result<Self, UnknownInstruction> {
        lines.into_iter().map(|line| line.as_ref().parse()).collect::<Result<_, _>>().map(Self)
    }

    /// Does the program accept a frame of these captured bytes and this length on the wire?
    pub(super) fn accepts(&self, bytes: &[u8], wire_len: u32) -> bool {
        self.run(bytes, wire_len).is_some_and(|verdict| verdict > 0)
    }

    /// What the program returns; none when it does something that rejects the frame.
    fn run(&self, bytes: &[u8], wire_len: u32) -> Option<u32> {
        let mut machine = Machine::default();
        let mut jumps_back = 0;
        let mut next = 0;
        loop {
            let instruction = *self.0.get(next)?;
            next += 1;
            match instruction {
                Instruction::Return(verdict) => return Some(verdict),
                Instruction::ReturnA => return Some(machine.a),
                Instruction::Jump(by) => {
                    // `protochain` loops over the headers of a packet by jumping back.
                    jumps_back += u32::from(by < 0);
                    if jumps_back > JUMPS_BACK_MAX {
                        return None;
                    }
                    next = next.checked_add_signed(by as isize)?;
                }
                Instruction::Branch { test, operand, then, otherwise } => {
                    let holds = test.holds(machine.a, machine.operand(operand));
                    next += usize::from(if holds { then } else { otherwise });
                }
                Instruction::LoadAbsolute(width, at) => machine.a = width.load(bytes, at)?,
                Instruction::LoadIndirect(width, at) => {
                    machine.a = width.load(bytes, machine.x.checked_add(at)?)?;
                }
                Instruction::Load(value) => machine.a = machine.value(value, wire_len),
                Instruction::LoadX(value) => machine.x = machine.value(value, wire_len),
                Instruction::LoadXHeaderLen(at) => {
                    machine.x = (Width::Byte.load(bytes, at)? & 0xf) << 2;
                }
                Instruction::Store(slot) => machine.memory[slot] = machine.a,
                Instruction::StoreX(slot) => machine.memory[slot] = machine.x,
                Instruction::Compute(operation, operand) => {
                    machine.a = operation.apply(machine.a, machine.operand(operand))?;
                }
                Instruction::Negate => machine.a = machine.a.wrapping_neg(),
                Instruction::CopyAToX => machine.x = machine.a,
                Instruction::CopyXToA => machine.a = machine.x,
            }
        }
    }
}

impl Machine {
    fn operand(&self, operand: Operand) -> u32 {
        match operand {
            Operand::Constant(number) => number,
            Operand::X => self.x,
        }
    }

    fn value(&self, value: Value, wire_len: u32) -> u32 {
        match value {
            Value::Constant(number) => number,
            Value::Memory(slot) => self.memory[slot],
            Value::WireLen => wire_len,
        }
    }
}

impl Width {
    fn load(self, bytes: &[u8], at: u32) -> Option<u32> {
        let rest = bytes.get(at as usize..)?;
        match self {
            Self::Word => rest.first_chunk().map(|word| u32::from_be_bytes(*word)),
            Self::Half => rest.first_chunk().map(|half| u32::from(u16::from_be_bytes(*half))),
            Self::Byte => rest.first().map(|byte| u32::from(*byte)),
        }
    }
}

impl Operation {
    fn apply(self, a: u32, operand: u32) -> Option<u32> {
        Some(match self {
            Self::Add => a.wrapping_add(operand),
            Self::Subtract => a.wrapping_sub(operand),
            Self::Multiply => a.wrapping_mul(operand),
            Self::Divide => return a.checked_div(operand),
            Self::Remainder => return a.checked_rem(operand),
            Self::And => a & operand,
            Self::Or => a | operand,
            Self::Xor => a ^ operand,
            Self::ShiftLeft => a.checked_shl(operand).unwrap_or(0),
            Self::ShiftRight => a.checked_shr(operand).unwrap_or(0),
        })
    }
}

impl Test {
    fn holds(self, a: u32, operand: u32) -> bool {
        match self {
            Self::Equal => a == operand,
            Self::Greater => a > operand,
            Self::GreaterOrEqual => a >= operand,
            Self::AnyBit => a & operand != 0,
        }
    }
}

impl FromStr for Instruction {
    type Err = UnknownInstruction;

    fn from_str(line: &str) -> Result<Self, UnknownInstruction> {
        let mut numbers = line.split_ascii_whitespace().map(|number| number.parse::<u32>().ok());
        let mut next = || numbers.next().flatten().ok_or(UnknownInstruction);
        let (code, then, otherwise, k) = (next()?, next()?, next()?, next()?);
        let [then, otherwise] = [then, otherwise].map(|by| u8::try_from(by).ok());
        let (Some(then), Some(otherwise)) = (then, otherwise) else {
            return Err(UnknownInstruction);
        };
        let operand = if code & SOURCE_X == 0 { Operand::Constant(k) } else { Operand::X };
        match code & CLASS {
            LD => Ok(match code & !CLASS {
                MODE_IMM => Self::Load(Value::Constant(k)),
                MODE_MEM => Self::Load(Value::Memory(slot(k)?)),
                MODE_LEN => Self::Load(Value::WireLen),
                mode => match mode & !SIZE {
                    MODE_ABS => Self::LoadAbsolute(width(mode)?, k),
                    MODE_IND => Self::LoadIndirect(width(mode)?, k),
                    _ => return Err(UnknownInstruction),
                },
            }),
            LDX => Ok(match code & !CLASS {
                MODE_IMM => Self::LoadX(Value::Constant(k)),
                MODE_MEM => Self::LoadX(Value::Memory(slot(k)?)),
                MODE_LEN => Self::LoadX(Value::WireLen),
                MODE_MSH_BYTE => Self::LoadXHeaderLen(k),
                _ => return Err(UnknownInstruction),
            }),
            ST => Ok(Self::Store(slot(k)?)),
            STX => Ok(Self::StoreX(slot(k)?)),
            ALU if code & OPERATION == NEGATE => Ok(Self::Negate),
            ALU => Ok(Self::Compute(operation(code)?, operand)),
            JMP if code & OPERATION == 0 => Ok(Self::Jump(k.cast_signed())),
            JMP => Ok(Self::Branch { test: test(code)?, operand, then, otherwise }),
            RET => match code & RETURN_SOURCE {
                0 => Ok(Self::Return(k)),
                RETURN_A => Ok(Self::ReturnA),
                _ => Err(UnknownInstruction),
            },
            _ => match code {
                TAX => Ok(Self::CopyAToX),
                TXA => Ok(Self::CopyXToA),
                _ => Err(UnknownInstruction),
            },
        }
    }
}

fn slot(k: u32) -> Result<usize, UnknownInstruction> {
    let slot = k as usize;
    if slot < MEMORY_LEN { Ok(slot) } else { Err(UnknownInstruction) }
}

fn width(code: u32) -> Result<Width, UnknownInstruction> {
    match code & SIZE {
        0x00 => Ok(Width::Word),
        0x08 => Ok(Width::Half),
        0x10 => Ok(Width::Byte),
        _ => Err(UnknownInstruction),
    }
}

fn operation(code: u32) -> Result<Operation, UnknownInstruction> {
    match code & OPERATION {
        0x00 => Ok(Operation::Add),
        0x10 => Ok(Operation::Subtract),
        0x20 => Ok(Operation::Multiply),
        0x30 => Ok(Operation::Divide),
        0x40 => Ok(Operation::Or),
        0x50 => Ok(Operation::And),
        0x60 => Ok(Operation::ShiftLeft),
        0x70 => Ok(Operation::ShiftRight),
        0x90 => Ok(Operation::Remainder),
        0xa0 => Ok(Operation::Xor),
        _ => Err(UnknownInstruction),
    }
}

fn test(code: u32) -> Result<Test, UnknownInstruction> {
    match code & OPERATION {
        0x10 => Ok(Test::Equal),
        0x20 => Ok(Test::Greater),
        0x30 => Ok(Test::GreaterOrEqual),
        0x40 => Ok(Test::AnyBit),
        _ => Err(UnknownInstruction),
    }
}

const MEMORY_LEN: usize = 16;
/// libpcap's limit; no packet has so many headers.
const JUMPS_BACK_MAX: u32 = 64;

const CLASS: u32 = 0x07;
const LD: u32 = 0x00;
const LDX: u32 = 0x01;
const ST: u32 = 0x02;
const STX: u32 = 0x03;
const ALU: u32 = 0x04;
const JMP: u32 = 0x05;
const RET: u32 = 0x06;

const SIZE: u32 = 0x18;
const MODE_IMM: u32 = 0x00;
const MODE_ABS: u32 = 0x20;
const MODE_IND: u32 = 0x40;
const MODE_MEM: u32 = 0x60;
const MODE_LEN: u32 = 0x80;
const MODE_MSH_BYTE: u32 = 0xb0;

const SOURCE_X: u32 = 0x08;
const OPERATION: u32 = 0xf0;
const NEGATE: u32 = 0x80;
const RETURN_SOURCE: u32 = 0x18;
const RETURN_A: u32 = 0x10;
const TAX: u32 = 0x07;
const TXA: u32 = 0x87;

#[cfg(test)]
mod tests {
    use super::*;

    fn run(lines: &[&str], bytes: &[u8], wire_len: u32) -> Option<u32> {
        Program::parse(lines).unwrap().run(bytes, wire_len)
    }

    /// Whatever reaches outside the frame or divides by nothing rejects, and never panics.
    #[test]
    fn what_goes_wrong_rejects() {
        let bytes = [1, 2, 3, 4];
        assert_eq!(run(&["32 0 0 0", "22 0 0 0"], &bytes, 4), Some(0x0102_0304));
        assert_eq!(run(&["32 0 0 1", "22 0 0 0"], &bytes, 4), None);
        assert_eq!(run(&["32 0 0 4294967295", "22 0 0 0"], &bytes, 4), None);
        assert_eq!(run(&["1 0 0 4294967295", "80 0 0 1", "22 0 0 0"], &bytes, 4), None);
        assert_eq!(run(&["52 0 0 0", "6 0 0 1"], &bytes, 4), None);
        assert_eq!(run(&["5 0 0 4294967295"], &bytes, 4), None);
        assert_eq!(run(&["5 0 0 2147483647"], &bytes, 4), None);
        assert_eq!(run(&["21 200 200 0"], &bytes, 4), None);
        assert_eq!(run(&[], &bytes, 4), None);
    }

    /// `len` is the length on the wire, whatever the snap length left of the frame.
    #[test]
    fn length_is_that_on_the_wire() {
        assert_eq!(run(&["128 0 0 0", "22 0 0 0"], &[0; 4], 1500), Some(1500));
        assert_eq!(run(&["129 0 0 0", "135 0 0 0", "22 0 0 0"], &[0; 4], 1500), Some(1500));
    }

    #[test]
    fn arithmetic_is_that_of_libpcap() {
        for (code, expected) in [
            (0x0c, 14),
            (0x1c, 8),
            (0x2c, 33),
            (0x3c, 3),
            (0x4c, 11),
            (0x5c, 3),
            (0x6c, 88),
            (0x7c, 1),
            (0x9c, 2),
            (0xac, 8),
        ] {
            let lines = [
                "0 0 0 11".to_owned(),
                "1 0 0 3".to_owned(),
                format!("{code} 0 0 0"),
                "22 0 0 0".to_owned(),
            ];
            assert_eq!(Program::parse(&lines).unwrap().run(&[], 0), Some(expected), "{code:#x}");
        }
        assert_eq!(run(&["0 0 0 1", "132 0 0 0", "22 0 0 0"], &[], 0), Some(u32::MAX));
        assert_eq!(run(&["0 0 0 1", "100 0 0 32", "22 0 0 0"], &[], 0), Some(0));
        assert_eq!(
            run(&["0 0 0 7", "2 0 0 15", "97 0 0 15", "135 0 0 0", "22 0 0 0"], &[], 0),
            Some(7)
        );
    }

    #[test]
    fn unknown_instructions_are_refused() {
        for line in ["63 0 0 0", "2 0 0 16", "84 0 0", "128 256 0 0", "228 0 0 0", "x", ""] {
            assert!(Program::parse([line]).is_err(), "{line}");
        }
    }
}
