// The eight stages, in their order; columns of the board and lanes of the timeline are numbered alike.

export const STAGES = ["spec", "plan", "think", "implement", "verify", "review", "pr", "monitor"];
