//! The text models whose training and writing is timed: those of `PEERS.md`'s table.

use maliang::Result;
use maliang::families::text::{GptConfig, LstmConfig, TextModelConfig};
use maliang::train::Precision;
use maliang::train::text::trial::TextTrial;

/// Characters of Tiny Shakespeare.
const VOCABULARY: usize = 65;

/// A network and the sequences of its step.
pub struct Network {
    pub model: TextModelConfig,
    pub batch: usize,
}

/// nanoGPT's recipe for a CPU.
pub fn gpt_small() -> Network {
    let model = GptConfig { vocabulary: VOCABULARY, context: 64, layers: 4, heads: 4, width: 128, dropout: 0.0 };
    Network { model: TextModelConfig::Gpt(model), batch: 12 }
}

/// nanoGPT's recipe for characters on a GPU, with a smaller batch.
pub fn gpt() -> Network {
    let model = GptConfig { vocabulary: VOCABULARY, context: 256, layers: 6, heads: 6, width: 384, dropout: 0.0 };
    Network { model: TextModelConfig::Gpt(model), batch: 16 }
}

/// Two layers of 256 cells.
pub fn lstm() -> Network {
    let model = LstmConfig { vocabulary: VOCABULARY, context: 128, layers: 2, width: 256, dropout: 0.0 };
    Network { model: TextModelConfig::Lstm(model), batch: 32 }
}

impl Network {
    /// An untrained model of it.
    pub fn trial(&self, precision: Precision) -> Result<TextTrial> {
        TextTrial::new(&self.model, self.batch, precision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_have_the_sizes_of_the_peers() {
        let millions = |network: Network| (network.model.parameters() as f64 / 1e4).round() / 100.0;
        assert_eq!([millions(gpt_small()), millions(gpt()), millions(lstm())], [0.81, 10.65, 1.07]);
    }
}
