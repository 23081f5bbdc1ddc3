"""Stage 1: front ends and frozen networks, which turn waveforms into frames, and the registry that names them.

Each is a `network.Extractor`, made with its options and the runtime argument `sample_rate` (Hz). Where the networks'
weights come from is in `published` and networks.tsv; how they are read, in `checkpoint` and `tensor_files`.
"""

from espret.registry import Registry

# One line each. Networks have the names of networks.tsv.
FRONTENDS = Registry(
    "front end",
    {
        "logmel": "espret.audio.logmel:LogMel",
        "waveform": "espret.audio.waveform:Waveform",
        "panns_logmel": "espret.audio.panns_logmel:PannsLogMel",
        "passt_mel": "espret.audio.passt_mel:PasstMel",
        "coala_logmel": "espret.audio.coala:CoalaLogMel",
        "vggsound_spectrogram": "espret.audio.vggsound:VggSoundSpectrogram",
        "cnn10": "espret.audio.panns_network:Cnn10Network",
        "cnn14": "espret.audio.panns_network:Cnn14Network",
        "resnet38": "espret.audio.panns_network:ResNet38Network",
        "vggish": "espret.audio.vggish:Vggish",
        "vggsound_h": "espret.audio.vggsound:VggSoundH",
        "vggsound_i": "espret.audio.vggsound:VggSoundI",
        "yamnet": "espret.audio.yamnet:Yamnet",
        "openl3": "espret.audio.openl3:OpenL3",
        "coala_dual_ae_c": "espret.audio.coala:CoalaDualAeC",
        "coala_dual_e_c": "espret.audio.coala:CoalaDualEC",
        "coala_cnn": "espret.audio.coala:CoalaCnn",
        "passt_n": "espret.audio.passt:PasstN",
        "passt_s": "espret.audio.passt:PasstS",
        "passt_l": "espret.audio.passt:PasstL",
        "passt_s20": "espret.audio.passt:PasstS20",
        "huggingface": "espret.audio.huggingface:HuggingFaceAudio",
    },
)
