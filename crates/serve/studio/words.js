// What the studio says, in two languages.
const all = {
  en: {
    skip: "Skip to the content", runs: "Runs", create: "Create", write: "Write", other: "中文",
    footer: "Everything here is made on this machine. Pictures and texts carry the label that they are AI-generated.",
    noRuns: "Nothing trained yet", noRunsHow: "A run appears here as soon as it begins. Train a first one in a terminal:",
    noPictures: "No model of pictures yet", noText: "No model of text yet",
    steps: "steps", step: "Step", trained: "Trained", best: "Best look", training: "training", notJudged: "no score yet",
    model: "Model", seed: "Seed", count: "Pictures", className: "Class", each: "each in turn", truncation: "Truncation",
    typical: "below 1 more typical, above 1 more varied", make: "Make pictures", another: "Another seed", making: "Making…",
    recipe: "Recipe", index: "Number", download: "Download", favourite: "Favourite", unfavourite: "No favourite",
    vary: "Vary", strength: "How far", walkFrom: "Walk from here", walkTo: "Walk to this", walk: "Walk between two pictures",
    dropHint: "Drop a picture that was made here to restore its settings.", restored: "Settings restored",
    notOurs: "This file has no recipe of ours.", otherModel: "It was made by a model that is not here: ",
    givenPoint: "It was made from a point of its own, which has no seed.",
    prompt: "Beginning", promptHint: "What the text begins with; may be empty", temperature: "Temperature", pieces: "Side by side",
    tokens: "Tokens at most", stop: "Stop before", go: "Write", halt: "Stop", writing: "Writing…", copied: "Copied", copy: "Copy",
    scores: "Held-out score (lower is better)", losses: "Losses", samples: "Samples", notes: "What training says", report: "Report",
    settings: "Settings", useIt: "Create with it", writeIt: "Write with it", back: "All runs", data: "Data", family: "Model",
    key: "This server wants a key", keyHow: "Whoever runs it makes one with", enter: "Enter", failed: "That did not work: ",
    begins: "The data is being prepared; training begins in a moment.", new: "New", newRun: "Train a new model", train: "Train", minutes: "Minutes", jobs: "In work", queued: "waiting", running: "training",
    left: "about", cancel: "Cancel", chosen: "What was chosen, and why", looking: "Looking at the data…",
    checked: "What the check found", pictures: "Pictures that can be used", distinct: "Different ones", shorterSide: "Shorter side, median",
    rejected: "Left out", documents: "Documents", characters: "Characters",
    dropData: "Drop a .zip of pictures or a text here, or click to choose one",
    offline: "The server cannot be reached. It may have been stopped.", made: "pictures made", play: "Look at each in turn",
  },
  zh: {
    skip: "跳到内容", runs: "训练", create: "作画", write: "写作", other: "English",
    footer: "这里的一切都在本机完成。图片与文字都带有“AI生成”标识。",
    noRuns: "还没有训练", noRunsHow: "训练一开始就会出现在这里。在终端里开始第一次训练：",
    noPictures: "还没有图片模型", noText: "还没有文字模型",
    steps: "步", step: "步", trained: "已训练", best: "最佳", training: "训练中", notJudged: "还没有分数",
    model: "模型", seed: "种子", count: "张数", className: "类别", each: "依次", truncation: "截断",
    typical: "小于 1 更典型，大于 1 更多样", make: "作画", another: "换个种子", making: "正在作画…",
    recipe: "配方", index: "序号", download: "下载", favourite: "收藏", unfavourite: "取消收藏",
    vary: "变化", strength: "幅度", walkFrom: "从这里出发", walkTo: "走到这里", walk: "在两张图之间行走",
    dropHint: "把这里生成的图片拖进来，就能恢复它的设置。", restored: "已恢复设置",
    notOurs: "这个文件里没有我们的配方。", otherModel: "生成它的模型不在这里：",
    givenPoint: "它来自一个给定的点，没有种子。",
    prompt: "开头", promptHint: "文字从这里开始，可以留空", temperature: "温度", pieces: "并排篇数",
    tokens: "最多词元", stop: "遇到即停", go: "开始写", halt: "停止", writing: "正在写…", copied: "已复制", copy: "复制",
    scores: "留出集分数（越低越好）", losses: "损失", samples: "样本", notes: "训练的说明", report: "报告",
    settings: "设置", useIt: "用它作画", writeIt: "用它写作", back: "全部训练", data: "数据", family: "模型",
    key: "这个服务器需要密钥", keyHow: "服务器的主人可以这样生成：", enter: "进入", failed: "没有成功：",
    begins: "正在准备数据，马上开始训练。", new: "新建", newRun: "训练新模型", train: "开始训练", minutes: "分钟", jobs: "进行中", queued: "排队", running: "训练中",
    left: "大约还要", cancel: "取消", chosen: "选了什么，为什么", looking: "正在查看数据…",
    checked: "检查结果", pictures: "可用图片", distinct: "互不相同", shorterSide: "短边中位数",
    rejected: "未采用", documents: "篇数", characters: "字符数",
    dropData: "把图片 .zip 或文本拖到这里，或点击选择",
    offline: "连不上服务器，它可能已经停止。", made: "张图片已生成", play: "逐张查看",
  },
};

const stored = localStorage.getItem("language");
let language = stored ?? (navigator.language.startsWith("zh") ? "zh" : "en");

/** The word for `key` in the language of the page. */
export const w = (key) => all[language][key] ?? key;

/** Writes all fixed words of the page. */
export function applyWords() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const element of document.querySelectorAll("[data-words]")) element.textContent = w(element.dataset.words);
  document.getElementById("language").textContent = w("other");
}

/** Changes to the other language. */
export function switchLanguage() {
  language = language === "zh" ? "en" : "zh";
  localStorage.setItem("language", language);
  applyWords();
}
