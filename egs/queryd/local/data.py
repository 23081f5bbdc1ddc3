"""QuerYD: YouTube videos and what volunteers of YouDescribe say in them for those who cannot see the picture.

Oncescu et al., "QuerYD: a video dataset with high-quality text and audio narrations", ICASSP 2021. The narrations were
transcribed, so captions have the errors of speech recognition; they tell what is seen, some of which can be heard.

Variants. `paragraphs` (default): a video and all that is said in it. `segments`: the stretch that one narration is
about. `v1` (default) and `v2` are two states of the transcripts; the lists of all benchmarks were drawn from v1.
`official` (default) and `by-video` are two divisions of the segments: the official one has most of its test videos in
the training set, and results on it are called so.

Files. Lists, transcripts and times are downloaded. Sound you bring, in files named by the YouTube id (`<id>`,
`video-<id>` or `Y<id>`, any format): a folder (--audio-dir), archives (--archives), or YouTube (--youtube true, with
yt-dlp and ffmpeg). With the authors' archives of features in the folder of --archives and no sound, stage 0 makes data
directories without sound, for `espret import-features`. The module espret.data.corpora.queryd tells the rest.

Licence: none is stated; videos are YouTube's, narrations YouDescribe's: for research only, not to be passed on.
"""

from espret.data.corpora.queryd import QuerYD

CORPORA = [QuerYD()]
