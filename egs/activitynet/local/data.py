"""ActivityNet Captions: YouTube videos of people doing things, each described event by event.

Krishna et al., "Dense-captioning events in videos", ICCV 2017. For retrieval the sentences of a video are one caption
(paragraph to video). They tell what is seen, some of which can be heard.

Splits: train, valid, val_1, val_2. Papers train on all of train, test on val_1, and choose their model on val_1 too,
for there is no other set. Here 500 training videos are held out as valid; `--variant official` gives them back.
val_2 has other captions of val_1's videos: no second test set beside it.

Files. Lists and captions are downloaded. Sound you bring, in files named by the YouTube id (`v_<id>`, `<id>`,
`video-<id>` or `Y<id>`, any format); without any the data directories are for `espret import-features`.

Licence: none is stated for the captions; videos are YouTube's: for research only, not to be passed on.
"""

from espret.data.corpora.activitynet import ActivityNet

CORPORA = [ActivityNet()]
