"""Every problem that archc reports, by its stable code. A code is never given a new meaning."""

CODES = {
    # Files and YAML
    "E001": "the file cannot be read: it is missing, a directory, or not readable",
    "E002": "the file is not UTF-8 text, or holds control characters",
    "E003": "the file is empty",
    "E004": "YAML syntax",
    "E005": "a key stands twice in one mapping",
    "E006": "YAML anchors, aliases and merge keys are not part of the language",
    "E007": "YAML tags are not part of the language",
    "E008": "the file is too large, nested too deeply, or one text in it is too long",
    "E009": "files use each other in a circle",
    # Structure
    "E010": "unknown key",
    "E011": "a key is missing",
    "E012": "a value of the wrong kind, such as a list where a mapping belongs",
    "E013": "not a name: names are Python identifiers, not keywords, and not reserved",
    "E014": "a row does not have one cell for each column",
    "E015": "the same name is given twice",
    "E017": "a spec extends what is no network",
    "E018": "a file that a spec must not `use` or `extend`: out of reach, or no spec",
    "E016": "this file is not a network, or not a block library",
    # Expressions
    "E020": "an expression cannot be read",
    "E021": "unknown name in an expression",
    "E022": "an expression cannot be worked out, such as a division by zero",
    "E023": "an expression that generated code cannot spell; work it out under `let`",
    "E024": "the value of a kept parameter is needed at compile time",
    # Blocks, ops and arguments
    "E030": "unknown block or op",
    "E031": "unknown activation",
    "E032": "unknown argument",
    "E033": "an argument is missing",
    "E034": "an argument of the wrong type",
    "E035": "a number out of bounds",
    "E036": "a block that uses itself",
    "E037": "the wrong number of tensors for a block or op",
    "E038": "a tensor where a number belongs, or a number where a tensor belongs",
    "E039": "a step or a row that nothing uses",
    # Shapes
    "E040": "shapes that do not fit together",
    "E041": "a kernel, pool or crop larger than its input",
    "E042": "channels that do not divide as the op needs",
    "E043": "an op that needs a feature map got a vector, or the other way round",
    "E044": "the network is too large to be meant",
    "E045": "`from` names no row that stands above",
    "E046": "a requirement of the network does not hold",
    "E047": "a block gives other channels than it says under `channels`",
    "E048": "a stride together with a dilation, which not every framework has",
    "E049": "a block that cannot be an activation, or not here",
    # Settings
    "E050": "unknown parameter in a setting",
    "E051": "a setting that cannot be read",
    # Variants
    "E060": "a change that matches nothing",
    "E061": "a change that does not fit the rows of the spec that is extended",
    "E062": "a block that cannot be called as the block that it replaces",
    # Outputs
    "E070": "an output in training only, where evaluation needs it",
    # Warnings: legal, and probably not meant
    "W001": "a number outside of the range that is usual for it",
    "W002": "a repeated row that strides at each of its repeats",
    "W003": "residuals that are left out because channels change and change back",
    "W004": "a feature map of one cell with half of the network to come",
    "W005": "a feature map of very many channels",
    "W006": "an activation under `defaults` that reaches steps of a library's blocks",
    "W007": "a parameter or `let` on which nothing depends",
}
