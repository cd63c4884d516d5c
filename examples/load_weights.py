"""Load what `tuner export STUDY` or `tuner train --save DIR` wrote: python load_weights.py runs/STUDY/best"""

import sys

import tuner

config, model = tuner.load_trained(sys.argv[1])
print(model)
print("trained with learning rate", config.learning_rate, "for", config.epochs, "epochs")
# model(x) takes inputs as the data set has them, here uint8 images [n, 1, 8, 8], and returns logits [n, 10].
