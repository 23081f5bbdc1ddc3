"""COALA: the front end and the networks (`network`), and the constants of the scaler between them (`scaler`).

Favory et al., "COALA: Co-aligned autoencoders for learning semantically enriched audio representations", 2020; code and
weights github.com/xavierfav/coala (MIT).
"""
