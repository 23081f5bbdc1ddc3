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
        "panns_logmel": "espret.audio.panns.logmel:PannsLogMel",
        "vggish_logmel": "espret.audio.vggish:VggishLogMel",
        "yamnet_logmel": "espret.audio.yamnet:YamnetLogMel",
        "passt_mel": "espret.audio.passt.mel:PasstMel",
        "coala_logmel": "espret.audio.coala.network:CoalaLogMel",
        "vggsound_spectrogram": "espret.audio.vggsound_spectrogram:VggSoundSpectrogram",
        "cnn10": "espret.audio.panns.network:Cnn10Network",
        "cnn14": "espret.audio.panns.network:Cnn14Network",
        "resnet38": "espret.audio.panns.network:ResNet38Network",
        "vggish": "espret.audio.vggish:Vggish",
        "vggsound_h": "espret.audio.vggsound:VggSoundH",
        "vggsound_i": "espret.audio.vggsound:VggSoundI",
        "yamnet": "espret.audio.yamnet:Yamnet",
        "openl3": "espret.audio.openl3:OpenL3",
        "coala_dual_ae_c": "espret.audio.coala.network:CoalaDualAeC",
        "coala_dual_e_c": "espret.audio.coala.network:CoalaDualEC",
        "coala_cnn": "espret.audio.coala.network:CoalaCnn",
        "passt_n": "espret.audio.passt.network:PasstN",
        "passt_s": "espret.audio.passt.network:PasstS",
        "passt_l": "espret.audio.passt.network:PasstL",
        "passt_s20": "espret.audio.passt.network:PasstS20",
        "huggingface": "espret.audio.huggingface:HuggingFaceAudio",
    },
)
