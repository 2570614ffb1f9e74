// The eight stages, in their order; columns of the board and lanes of the timeline are numbered alike.

export const STAGES = ["spec", "plan", "think", "implement", "verify", "review", "pr", "monitor"];

// A workspace is made for the stage that changes something, and has ended before that begins; a withdrawal undoes what `pr` did.
const BESIDE = { workspace: "implement", withdrawal: "pr" };
export const placeOf = (stage) => STAGES.indexOf(BESIDE[stage] ?? stage);
