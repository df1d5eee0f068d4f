"""Training data attribution: which training stories had the most influence on what a model predicts.

The influence of a story on a text is estimated as in TrackStar (Chang et al. 2024, arXiv:2410.17413), which follows
TRAK (Park et al. 2023, arXiv:2303.14186): the cosine between the gradients of their losses, each corrected by the
second moments of the optimizer, projected to few dimensions at random, and whitened. The projections keep the structure
of a layer's gradient, as in LoGra (Choe et al. 2024, arXiv:2405.13954), so that no whole gradient is ever computed.

gradients.py    projected gradients of each story in a batch
projections.py  random projections with the second moments in them
index.py        the projected gradients of the training stories, kept in the run folder
overlap.py      beside it: the stories that share the most tokens with the text
query.py        the most influential stories for a text
"""
