"""Sound from YouTube by the user's own yt-dlp and ffmpeg.

`fetch` has the workers, `states` what became of each clip, `ytdlp` one clip, `programs` the running of programs.
"""
