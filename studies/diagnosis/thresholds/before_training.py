"""The numbers that decide over code, data and the untrained network."""

from studies.diagnosis.thresholds.threshold import OWN, Threshold

CALIBRATED = "in 49 healthy runs of benchmarks/diagnosis/lists/calibration.json"
"""One seed each, MLPs and CNNs; what a source says before these words is the most extreme reading of them."""

# --- code

STALE_SHARE = Threshold(
    value=0.1,
    unit="of the backward passes",
    source=f"own design; near 1 without zero_grad, and 0 {CALIBRATED}",
)
STALE_TOO_LONG = Threshold(
    value=0.7,
    unit="of the backward passes",
    source=f"{OWN}; up to 2/3 no more than three gradients add up, a step twice as long on average",
)
"""Below, a fault only where harm shows."""
STALE_FIT_ERROR = Threshold(
    value=0.02,
    unit="error on the training data in eval mode",
    source=f"{OWN}; 0.019 and less where it did no harm, 0.027 and mostly 0.1 and more where it did",
)
STALE_FIT_RATIO = Threshold(
    value=0.3,
    unit="late loss or error on the training data / on validation",
    source=f"{OWN}; 0.32 and less where it did no harm, 0.34 and mostly 0.8 and more where it did",
)
EVALUATION_TRAIN_MODE_SHARE = Threshold(
    value=0.9,
    unit="of the evaluating passes",
    source=f"{OWN}; below, some passes are in eval mode, and the rest may be meant so",
)
MISREAD_ERRORS = Threshold(
    value=1.3,
    unit="standard errors of accuracy that evaluating in train mode takes away",
    source=f"{OWN}; harmless ones take 1.15 at most in one network and 2.5 in another, harmful ones 1.47 and more",
)
TRAINING_EVAL_MODE_SHARE = Threshold(
    value=0.3,
    unit="of the training passes",
    source=f"own design; 1 - 1 / epochs without train(), and 0 {CALIBRATED}",
)
REPEAT_DIFFERENCE = Threshold(
    value=1e-3,
    unit="largest difference of two evaluations / deviation of the outputs",
    source=f"own design; 0 {CALIBRATED}",
)
PROBABILITY_SUM_ERROR = Threshold(
    value=1e-3, unit="mean |sum of a sample's outputs - 1|", source=f"{OWN}; rounding makes 1e-6"
)
LOSS_FLOOR_MARGIN = Threshold(
    value=1e-3, unit="nats below the floor", source=f"{OWN}; room for rounding only"
)
"""The floor itself is -ln(e / (e + classes - 1)): the least that the cross-entropy of probabilities can be."""
TRAINED_BEFORE = Threshold(
    value=1.3,
    unit="largest singular value / that of a random matrix",
    source=f"{OWN}, after Marchenko and Pastur: 1 is random",
)
NEVER_TRAINED = Threshold(
    value=3,
    unit="standard errors from the nearest of the usual initial distributions",
    source=f"{OWN}; fewer than one fresh layer in a hundred is farther, trained ones are by 12 and more",
)
FROZEN_FIT_ERROR = Threshold(
    value=0.08,
    unit="error on the training data in eval mode",
    source=f"{OWN}; small layers frozen by design leave at most 0.056, fresh ones 0.107 and more where they harm much",
)
FROZEN_ERRORS = Threshold(
    value=0.145,
    unit="error on the training data in eval mode + error on validation",
    source=f"{OWN}; small layers frozen by design leave at most 0.131, fresh ones 0.161 and more where they harm",
)
UNCHANGED_READINGS = Threshold(
    value=3, unit="readings without any change", source="SageMaker Debugger, UnchangedTensor: 3 steps"
)
ROUNDED_UPDATE = Threshold(
    value=1e-7, unit="‖Δw‖ / ‖w‖ that a gradient would make", source="single precision: 2**-24 is 6e-8"
)

# --- data

INPUT_SIZE = Threshold(
    value=3, unit="root mean square of the inputs", source=f"{OWN}; 1 is standardized, 147 is pixels to 255"
)
INPUT_SMALLNESS = Threshold(
    value=0.01, unit="root mean square of the inputs", source=f"{OWN}; 0.03 is one-hot of 1,000 classes"
)
INPUT_OFFSET = Threshold(
    value=3, unit="|mean| / standard deviation", source=f"{OWN}; spares inputs scaled to 0..1"
)
OVERLAP_NOTED = Threshold(
    value=0.001, unit="of the validation samples", source=f"{OWN}; clean sets of images have about none"
)
OVERLAP_FRACTION = Threshold(
    value=0.01,
    unit="of the validation samples",
    source=f"own design; less cannot move an accuracy by a percent (deepchecks allows 5%); 0 {CALIBRATED}",
)
INFLATION_UNSEEN = Threshold(
    value=0.02,
    unit="of validation accuracy that a leak adds at most, where none is seen",
    source=f"{OWN}; one-sided 95% bound; copies that a network has memorized add 1 to 8 points to mild faults too",
)
INFLATION_NEGLIGIBLE = Threshold(
    value=0.005,
    unit="of validation accuracy that a leak adds at most",
    source=f"{OWN}; one-sided 95% bound; less than half a percent moves no comparison",
)
LEAK_ACCURACY = Threshold(
    value=0.9,
    unit="accuracy of a few features alone",
    source=f"own design; labels under a little noise tell 0.92; no pixel tells a digit; at most 0.24 {CALIBRATED}",
)
LEAK_ACCURACY_FEW_CLASSES = Threshold(
    value=0.995,
    unit="accuracy of a few features alone",
    source=f"{OWN}; one honest feature may tell two or three classes",
)
LEAK_FEW_CLASSES = Threshold(value=4, unit="classes", source=OWN)
IMBALANCE_RATIO = Threshold(
    value=6.5,
    unit="most / least frequent class",
    source=f"{OWN}; SageMaker Debugger: 10; 4.2 does no harm, 9.8 does (benchmarks/diagnosis, all sets)",
)
IMBALANCE_UNREAD = Threshold(
    value=10,
    unit="most / least frequent class, where its harm cannot be read",
    source="SageMaker Debugger: 10; 4.2 does no harm, every larger one of benchmarks/diagnosis does",
)
RARE_CLASS_SAMPLES = Threshold(
    value=50,
    unit="samples of the rarest class to train on",
    source=f"{OWN}; 34 and fewer harmed in all sets; hundreds may do beside however many others",
)
RARE_CLASS_DEFICIT = Threshold(
    value=0.05, unit="accuracy of the other classes - that of the rare ones", source=f"{OWN}; beyond chance"
)
RARE_CLASS_P_VALUE = Threshold(
    value=0.03,
    unit="chance of so few right answers, were the rare classes as easy as the others",
    source=f"{OWN}; a binomial test near the usual level: most classes so rare are answered worse",
)
RARE_CLASS_P_VALUE_STRONG = Threshold(
    value=0.1,
    unit="the same chance, of fewer than RARE_CLASS_SAMPLES beside IMBALANCE_UNREAD times as many",
    source=f"{OWN}; an imbalance that hardly any network learns needs less to be believed",
)
SPLIT_P_VALUE = Threshold(
    value=1e-3, unit="p of a chi-square test of the splits' classes", source="deepchecks: label drift"
)
SPLIT_DRIFT = Threshold(
    value=0.15, unit="Cramer's V of the splits' classes", source="deepchecks: label drift > 0.15"
)
UNSEEN_SHARE = Threshold(
    value=0.005,
    unit="of the validation samples are of classes that train lacks",
    source="deepchecks: new labels > 0.5%",
)
LABEL_MIXING = Threshold(
    value=0.9,
    unit="entropy of a minibatch's labels / that when shuffled",
    source=f"{OWN}; 1 is shuffled; sound runs of all sets have 0.97 and more, minibatches of 16 too",
)
LABEL_MIXING_SORTED = Threshold(
    value=0.5, unit="entropy of a minibatch's labels / that when shuffled", source=f"{OWN}; 0 is sorted"
)
"""Below, a fault by itself; above, where harm shows."""
MIXING_BATCH = Threshold(
    value=4, unit="samples a minibatch", source=f"{OWN}; fewer hold too few labels to be mixed"
)
LABEL_DISAGREEMENT = Threshold(
    value=0.05,
    unit="of the samples contradicted by their neighbors",
    source=f"after cleanlab: more than 5% of issues; at most 0.027 {CALIBRATED}, with 3% of wrong labels",
)
LABEL_DISAGREEMENT_NOISY = Threshold(
    value=0.035,
    unit="of the samples contradicted by their neighbors",
    source=f"{OWN}; three wrong labels in a hundred make 0.027, forty make 0.045: their neighbors are wrong too",
)
"""Where so many answers are wrong that the neighborhoods themselves may be noisy."""
NOISY_ERROR = Threshold(value=0.25, unit="validation error", source=OWN)
NEIGHBOR_GUIDANCE = Threshold(
    value=0.14,
    unit="agreement of neighbors beyond chance, in the classes that they contradict",
    source=f"{OWN}; 0.11 and less where inputs have no order or other units, 0.18 and more with 40% of wrong labels",
)
CLEAR_DISAGREEMENT = Threshold(
    value=0.17,
    unit="of the quarter with the clearest neighborhoods, labeled otherwise",
    source=f"{OWN}; where CLEAR_GUIDANCE is given 0.08 at most in sound data, a fifth with as many wrong labels",
)
CLEAR_GUIDANCE = Threshold(
    value=0.54,
    unit="agreement of neighbors beyond chance, over that of samples whose labels are both right",
    source=f"{OWN}; 0.47 at most where much of sound data is labeled otherwise, 0.6 and more with wrong labels",
)
DISAGREEMENT_ERRORS = Threshold(
    value=0.5,
    unit="times that share, as validation error at least",
    source=f"{OWN}; spares labels that are learned",
)
INPUT_SHIFT = Threshold(
    value=0.3,
    unit="deviations between train and validation inputs",
    source=f"own design; at most 0.15 {CALIBRATED}, with augmentation",
)
INPUT_SHIFT_LAGGING = Threshold(
    value=0.18,
    unit="deviations between train and validation inputs, where validation lags",
    source=f"{OWN}; between the 0.15 of sound augmentation and the 0.215 that broke trainings",
)
INPUT_SHIFT_FAR = Threshold(
    value=0.5,
    unit="deviations between train and validation inputs, where the accuracy falls short",
    source=f"{OWN}; at most 0.16 in the sound runs of all sets, with augmentation",
)
SHIFT_LOSS_RATIO = Threshold(
    value=1,
    unit="validation / train loss, from the first epoch on",
    source=f"{OWN}; 0.6 and less with augmentation, which is harder to train on than to validate on",
)
SHIFT_GAP = Threshold(
    value=0.10,
    unit="train - validation accuracy, from the first epoch on",
    source="AutoTrainer, DeepFD: gap of 0.10",
)

# --- the untrained network

INITIAL_LOSS_EXCESS = Threshold(
    value=1.5,
    unit="times ln(classes) away from ln(classes)",
    source="own design (TheDeepChecker and CS231n say 0.5 to 1); narrow convolutions after He make 0.99",
)
WEIGHT_GAIN_LOW = Threshold(
    value=0.03,
    unit="deviation of the weights x root of fan-in",
    source=f"own design; at least 0.34 {CALIBRATED}",
)
WEIGHT_GAIN_HIGH = Threshold(
    value=5,
    unit="deviation of the weights x root of fan-in",
    source=f"own design; at most 1.6 {CALIBRATED}",
)
TWIN_FRACTION = Threshold(
    value=0.5,
    unit="of a hidden layer's units are copies of another",
    source=f"own design; 0 {CALIBRATED}",
)
ALL_TWINS = Threshold(
    value=0.99,
    unit="of a hidden layer's units are copies of another",
    source=f"{OWN}; 1 where all rows are copies of a few",
)
GROWTH_PER_LAYER = Threshold(
    value=1.6, unit="times the deviation of the layer before", source=f"{OWN}; He's keeps it within 1.2"
)
MAGNIFYING_GAIN = Threshold(
    value=2,
    unit="deviation of the weights x root of fan-in, of every hidden layer",
    source=f"{OWN}; He's is 1.41; the least of the hidden layers is 1.56 at most in sound runs of all sets, 2.38 and "
    "more where outputs explode",
)
MAGNIFIED_LOSS_EXCESS = Threshold(
    value=10,
    unit="times ln(classes) above ln(classes), where every hidden layer magnifies",
    source=f"{OWN}; magnifying networks that do no harm have 7.4 at most, those that explode 20 and more",
)
ALIKE_GAINS = Threshold(
    value=0.7,
    unit="least / largest weight gain of the hidden layers",
    source=f"{OWN}: by themselves gains after Glorot differ by a root of 2 at most",
)
GROWING_LAYERS = Threshold(
    value=5, unit="hidden layers", source=f"{OWN}; with fewer, growth does little harm"
)
EXPLODING_RATIO = Threshold(
    value=70,
    unit="first layer's / last layer's gradient norm",
    source=f"AutoTrainer: ratio > 70; at most 2.6 {CALIBRATED}",
)
VANISHING_RATIO = Threshold(
    value=1e-3, unit="first layer's / last layer's gradient norm", source="AutoTrainer: ratio < 1e-3"
)
VANISHING_NORM = Threshold(value=1e-4, unit="first layer's gradient norm", source="AutoTrainer: norm < 1e-4")
FADING_SLOPE = Threshold(
    value=-0.3, unit="log10 of the gradient norm per layer, from the output back", source=OWN
)
"""Halved at every layer; a finding only where nothing is learned either."""
FADING_STEEP = Threshold(
    value=-0.6,
    unit="log10 of the gradient norm per layer, from the output back",
    source="the derivative of a sigmoid is a quarter at most: log10 0.25 (Glorot and Bengio 2010)",
)
"""The same over few layers."""
FADING_LASTING = Threshold(
    value=-0.4,
    unit="log10 of the gradient norm per layer, from the output back, over the first epoch",
    source=f"{OWN}, in the widest gap of all sets: sound networks whose gradients fade at first have -0.32 and more "
    "by then, those that it harms -0.47 and less",
)
"""The first updates mend what fades less than ``FADING_STEEP``; what they do not mend lasts."""
BOTTLENECK_SHARE = Threshold(
    value=0.5,
    unit="of the log10 of the fading, at one layer",
    source=f"{OWN}; depth takes its share at every layer",
)
DEAD_FRACTION = Threshold(
    value=0.5,
    unit="share of a layer's units that are never active on the probe",
    source="SageMaker Debugger, TheDeepChecker: half of the units",
)
STILL_DEAD = Threshold(
    value=0.3,
    unit="share of a layer's dead units, where more than DEAD_FRACTION were dead before the first update",
    source="benchmarks/diagnosis, draws 13 and 16: of sound networks 0.2 of a layer are dead at the start at most, of "
    "harmed ones 0.37 and more still at the end",
)
ALL_DEAD = Threshold(
    value=0.99, unit="share of a layer's dead units", source=f"{OWN}: nothing passes such a layer"
)
"""Together with an accuracy at chance, this needs no persistence."""
FADING_LAYERS = Threshold(
    value=4, unit="layers", source=f"{OWN}; over fewer little is lost, unless it is lost steeply"
)
"""From how many layers on fading gradients are looked at where something is learned."""
RATE_SPIKE = Threshold(value=5, unit="times the median learning rate", source=OWN)
COLLAPSED_WEIGHTS = Threshold(
    value=0.1, unit="of the untrained weights' norm", source=f"{OWN}; weight decay has taken the rest"
)
"""Gradients that vanish behind such weights are a consequence."""
