"""PANNs (Kong et al., 2020): the front end (`logmel`), the bodies (`body`), and both as frozen networks (`network`).

Source: https://github.com/qiuqiangkong/audioset_tagging_cnn. As trained encoders: `espret.models.panns_encoder`.
"""
