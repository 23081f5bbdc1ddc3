"""PaSST: the front end (`mel`), the transformer (`body`), and both as a frozen network (`network`).

Koutini et al., 2022, "Efficient training of audio transformers with Patchout" (arXiv 2110.05069); repositories
kkoutini/PaSST, kkoutini/passt_hear21. As a trainable encoder: `espret.models.passt_encoder`.
"""
