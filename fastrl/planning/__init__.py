"""From what was asked for to a plan, with everything that can be wrong found before anything is traced."""
